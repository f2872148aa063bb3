"""Pages opened from disk, which ask nothing of a network."""
import pytest


@pytest.fixture
def open_page(chromium, tmp_path):
    """Open HTML from disk; afterwards nothing may have been asked of a network, or gone wrong."""
    contexts, asked, wrong = [], [], []

    def open_page(html, width=1280, height=900, **options):
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert wrong == []
