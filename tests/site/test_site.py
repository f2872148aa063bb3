"""The built site, opened from disk: every page, every link, by mouse, keys and without script."""
import html.parser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.site.conftest import SITE

pytestmark = pytest.mark.browser

PAGES = [name for name in sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
         if not name.startswith("_static")] or ["index.html"]
WIDTHS = (360, 1280, 1920)


class Anchors(html.parser.HTMLParser):
    """The ids of a page, its links, and its images."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.images: list[dict] = []
        self.sources: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "img":
            self.images.append(given)
        self.sources += [given[name] for name in ("src",) if given.get(name)]
        if tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.sources.append(given["href"])


def test_no_link_is_broken(site):
    pages = {path: Anchors(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (parts.fragment and target.suffix == ".html" and \
                    unquote(parts.fragment) not in pages[target].ids):
                broken.append((path.name, link))
    assert not broken


def test_every_page_of_the_reference_documents_something(site):
    pages = [path for path in (site / "api").glob("*.html") if path.name != "index.html"]
    assert len(pages) > 5
    assert not [path.name for path in pages if "sig-name" not in path.read_text()]


def test_nothing_is_loaded_from_elsewhere(site):
    assert not [(path.name, source) for path in site.rglob("*.html")
                for source in Anchors(path).sources if urlsplit(source).scheme in ("http", "https")]


def test_every_image_has_an_alternative_text(site):
    assert not [(path.name, image.get("src", "")[:60]) for path in site.rglob("*.html")
                for image in Anchors(path).images if not image.get("alt")]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_in_peace_at_every_width(site, visit, name):
    visit.open(site / name)
    visit.assert_accessible()
    for width in WIDTHS:
        visit.assert_fits(width)
    visit.assert_quiet()


def with_steppers(site: Path) -> list[str]:
    return [name for name in PAGES
            if (site / name).exists() and 'class="minifcn' in (site / name).read_text()]


def test_every_stepper_steps_by_mouse_and_keys(site, visit):
    pages = with_steppers(site)
    assert "index.html" in pages and len(pages) > 10
    for name in pages:
        page = visit.open(site / name)
        for stepper in page.query_selector_all(".minifcn .stepper"):
            slider = stepper.query_selector("input.slider")
            def position(slider=slider):
                return int(slider.input_value())
            stepper.scroll_into_view_if_needed()
            slider.focus()
            page.keyboard.press("Home")
            assert position() == 0, name
            stepper.query_selector("button.step").click()
            assert position() > 0, name
            forward = position()
            stepper.query_selector("button.step").focus()
            page.keyboard.press("ArrowRight")
            assert position() > forward, name
            page.keyboard.press("ArrowLeft")
            assert position() == forward, name
            page.keyboard.press("End")
            assert position() == int(slider.get_attribute("max")), name
            stepper.query_selector("button.start").click()
            assert position() == 0, name
    visit.assert_quiet()


def test_without_script_posters_and_folded_answers_are_there(site, visit_without_script):
    for name in with_steppers(site):
        page = visit_without_script.open(site / name)
        posters = page.query_selector_all(".minifcn img[alt]")
        assert posters and all(poster.is_visible() for poster in posters), name
    page = visit_without_script.open(site / "tutorials" / "01_convolution.html")
    answers = page.query_selector_all("details.hide")
    assert answers
    summary = answers[0].query_selector("summary")
    summary.click()
    assert answers[0].get_attribute("open") is not None


@pytest.mark.parametrize("words, expected", [("crop", "crop-offset"), ("ignore", "ignore-255"),
                                             ("transposed", "transposed-is-not-inverse")])
def test_search_finds(site, visit, words, expected):
    page = visit.open(site / "search.html", f"?q={words}")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_function("!document.querySelector('#search-progress')?.textContent.includes('...')")
    links = [link.get_attribute("href") for link in page.query_selector_all("#search-results a")]
    assert any(expected in link for link in links)
