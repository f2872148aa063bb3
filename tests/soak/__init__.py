"""``make soak``: hours of kills, hostile files, threads and steady work; see docs/limits.md."""
