"""Right code in many styles, each file one; bugs are edits of its text."""
