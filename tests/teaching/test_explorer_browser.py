"""The explorer in the system's Chromium: by mouse and by keys, its numbers beside NumPy's."""
import re

import numpy as np
import pytest

import minifcn
from minifcn.models.geometry import plan

pytestmark = pytest.mark.browser

PIXELS = [(9, 30), (20, 3)]


def network(stride=8, geometry="exact", **options):
    model = minifcn.FCN(stride, 4, geometry, width=1 / 16, fc_channels=8, seed=3, **options)
    rng = np.random.default_rng(5)
    for name in model.parameters:
        if name.startswith("score") or name.endswith("bias"):
            model.parameters[name] = rng.normal(0, 0.5, model.parameters[name].shape).astype("f4")
    model.class_names = ["ground", "tree", "<car>", "sky & sea"]
    return model


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def explored(model):
    image = np.random.default_rng(1).integers(0, 256, (29, 41, 3), np.uint8)
    return model.explore(image, pixels=PIXELS)


@pytest.fixture(scope="module")
def saved(explored, tmp_path_factory):
    return explored.save(tmp_path_factory.mktemp("explorer") / "page.html")


@pytest.fixture
def page(visit, saved):
    page = visit.open(saved)
    ready(page)
    yield page
    visit.assert_quiet()


def ready(page, root=""):
    page.wait_for_selector(f"{root} .layer[aria-pressed=true]")


def layer(page, name):
    return page.locator(".layer", has=page.get_by_text(name, exact=True))


def caption(page):
    """Row, column and value that the page names."""
    row, column, value = re.match(r"Row (\d+), column (\d+): (\S+)\. ",
                                  page.locator(".caption").inner_text()).groups()
    return int(row), int(column), float(value)


def rows_of(page, part):
    """The cells of a table, row by row, without its heads."""
    return [row.locator("td").all_inner_texts()
            for row in page.locator(f"{part} table").first.locator("tr").all()
            if row.locator("td").count()]


def click_cell(page, box, size, row, column):
    """Click in the middle of a cell of one of the two large maps."""
    canvas = page.locator(".map").nth(box).locator("canvas")
    place = canvas.bounding_box()
    canvas.click(position={"x": (column + 0.5) / size[1] * place["width"],
                           "y": (row + 0.5) / size[0] * place["height"]})


def select_channel(page, channel):
    page.locator(".channels").get_by_text(str(channel), exact=True).click()


# -- numbers --------------------------------------------------------------------------------------


def test_a_clicked_cell_has_numpys_value_and_receptive_field(page, explored):
    rng = np.random.default_rng(0)
    for name in ("conv2_1", "pool3", "fc7", "score_pool4", "upscore2", "fuse_pool3", "upscore8",
                 "output"):
        layer(page, name).click()
        values = explored.maps[name]
        row, column = (int(rng.integers(extent)) for extent in values.shape[:2])
        click_cell(page, 1, values.shape, row, column)
        channel = page.locator("h2").inner_text().removeprefix(f"{name}, ")
        channel = int(channel.removeprefix("channel ")) if channel.startswith("channel") else \
            ["ground", "tree", "<car>", "sky & sea"].index(channel)
        assert caption(page)[:2] == (row, column)
        assert caption(page)[2] == pytest.approx(values[row, column, channel], rel=5e-4)
        rows, columns = explored.influences(name, row, column)["image"]
        text = page.locator(".caption").inner_text()
        assert [int(number) for span in re.findall(r"(?:rows|columns) (\d+(?: to \d+)?)", text)
                for number in (span.split(" to ") * 2)[:2]] == [*rows, *columns]


def test_the_way_lists_all_that_a_cell_depends_on(page, explored):
    click_cell(page, 0, (29, 41), 17, 22)
    assert caption(page)[:2] == (17, 22) and page.locator("h2").inner_text().startswith("output")
    expected = explored.influences("output", 17, 22)
    found = {name: (rows, columns) for name, rows, columns, _ in rows_of(page, ".way")}
    assert found == {name: tuple(str(a) if a == b else f"{a} to {b}" for a, b in spans)
                     for name, spans in expected.items()}
    page.locator(".way").get_by_role("button", name="fuse_pool3").click()
    assert page.locator("h2").inner_text().startswith("fuse_pool3")


def test_the_scores_are_those_of_the_pixel_and_of_the_cell(page, explored):
    layer(page, "score_pool3").click()
    click_cell(page, 1, explored.maps["score_pool3"].shape, 2, 3)
    step = next(step for step in plan(29).steps if step.name == "score_pool3").grid
    pixel = [int(step.origin + cell * 8 + 0.5) for cell in (2, 3)]
    for k, (name, final, own, _) in enumerate(rows_of(page, ".scores")):
        assert name == explored.data["classes"][k]
        right = explored.maps["output"][pixel[0], pixel[1], k]
        assert float(final) == pytest.approx(right, rel=5e-4)
        assert float(own) == pytest.approx(explored.maps["score_pool3"][2, 3, k], rel=5e-4)


@pytest.mark.parametrize("name,row,column", [
    ("conv1_1", 0, 0), ("conv3_2", 3, 4), ("fc6", 0, 1), ("score_pool3", 1, 2), ("upscore2", 1, 1),
    ("fuse_pool4", 1, 1), ("upscore8", 13, 14), ("output", 28, 40)])
def test_the_products_add_up_to_the_value(page, explored, name, row, column):
    layer(page, name).click()
    click_cell(page, 1, explored.maps[name].shape, row, column)
    numbers, products = rows_of(page, ".sums"), []
    for what, x, w, product in numbers:
        if w:
            source, *_ = re.match(r"(\w+) at (\d+), (\d+), (.*)", what).groups()
            assert source in explored.inputs[name]
            assert float(x) * float(w) == pytest.approx(float(product), rel=1e-3)
        if what not in ("sum", "ReLU: the sum, or 0 if it is below"):
            products.append(float(product))
    sums = {what: float(product) for what, _, _, product in numbers}
    assert sum(products) == pytest.approx(sums["sum"], rel=1e-3, abs=1e-3 * max(map(abs, products)))
    last = float(numbers[-1][3])
    assert last == pytest.approx(caption(page)[2], rel=1e-3, abs=2e-4)


def test_a_window_shows_each_product_of_a_channel(page, explored, model):
    layer(page, "conv2_1").click()
    select_channel(page, 3)
    click_cell(page, 1, explored.maps["conv2_1"].shape, 0, 5)
    page.locator(".sums select").select_option("2")
    weight, x = model.parameters["conv2_1.weight"], explored.maps["pool1"]
    cells = [cell for row in page.locator(".window tr").all()
             for cell in row.locator("td").all_inner_texts()]
    assert cells[:3] == ["padding"] * 3
    for ki, kj in np.ndindex(2, 3):
        value, factor, product = (float(re.sub("[×=] ", "", line))
                                  for line in cells[3 * (ki + 1) + kj].split("\n"))
        assert value == pytest.approx(x[ki, 4 + kj, 2], rel=5e-3)
        assert factor == pytest.approx(weight[ki + 1, kj, 2, 3], rel=5e-3)
        assert product == pytest.approx(x[ki, 4 + kj, 2] * weight[ki + 1, kj, 2, 3], rel=5e-3)


def test_a_pool_names_what_it_compares(page, explored):
    layer(page, "pool2").click()
    click_cell(page, 1, explored.maps["pool2"].shape, 1, 1)
    compared = [float(value) for _, value in rows_of(page, ".sums")]
    assert len(compared) == 4 and max(compared) == caption(page)[2]


def test_gradients_are_shown_in_every_layer(page, explored):
    page.get_by_label("Every layer shows").select_option("1")
    gradients = explored.pixels[1].gradients
    for name in ("conv3_1", "pool4", "score_fr"):
        layer(page, name).click()
        channels, values = gradients[name]
        select_channel(page, channels[-1] if name != "score_fr" else "tree")
        click_cell(page, 1, values.shape, 0, 1)
        shown = float(re.search(r"Gradient: (\S+)\. ", page.locator(".caption").inner_text())[1])
        at = -1 if name != "score_fr" else 1
        assert shown == pytest.approx(values[0, 1, at], rel=5e-3)
    page.get_by_label("Every layer shows").select_option("")
    assert "Gradient" not in page.locator(".caption").inner_text()


def test_a_tile_is_drawn_in_the_colours_of_its_values(page, explored):
    """The output's tile is the mask, in the palette's colours."""
    pixels = page.evaluate("""() => {
        const canvas = [...document.querySelectorAll('.layer')].at(-1).querySelector('canvas');
        return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data];
    }""")
    colours = np.array(pixels).reshape(29, 41, 4)[..., :3]
    mask = explored.maps["output"].argmax(axis=2)
    np.testing.assert_array_equal(colours, np.array(explored.data["palette"])[mask])


@pytest.mark.parametrize("options", [
    {"stride": 16, "geometry": "caffe"}, {"stride": 32, "geometry": "caffe"},
    {"upsampling": "learned"}, {"at_once": True}])
def test_other_networks_add_up_too(visit, tmp_path, options):
    image = np.random.default_rng(2).integers(0, 256, (23, 35, 3), np.uint8)
    explored = network(**options).explore(image, pixels=[])
    page = visit.open(explored.save(tmp_path / "page.html"))
    ready(page)
    for name in explored.inputs:
        if name.startswith(("score", "upscore", "fuse", "output")):
            layer(page, name).click()
            values = explored.maps[name]
            click_cell(page, 1, values.shape, values.shape[0] // 2, values.shape[1] // 2)
            row, column, value = caption(page)
            channel = explored.data["classes"].index(
                page.locator("h2").inner_text().removeprefix(f"{name}, "))
            assert value == pytest.approx(values[row, column, channel], rel=5e-4)
            total = float(rows_of(page, ".sums")[-1][3])
            assert total == pytest.approx(value, rel=1e-3, abs=2e-4)
    visit.assert_quiet()


# -- the page -------------------------------------------------------------------------------------


def test_the_keyboard_does_it_all(page, explored):
    first = explored.pixels[explored.data["first"]]
    assert caption(page)[:2] == (first.row, first.column)
    page.get_by_label("Every layer shows").focus()
    for _ in range(50):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith("pool3"):
            break
    page.keyboard.press("Enter")
    assert page.locator("h2").inner_text().startswith("pool3")
    page.locator(".map").nth(1).focus()
    click_cell(page, 1, explored.maps["pool3"].shape, 1, 1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert caption(page)[:2] == (2, 2)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert caption(page)[:2] == (1, 0)
    page.locator(".channels button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.locator(".map").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("h2").inner_text().startswith("output")


@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_it_fits_and_is_accessible(visit, saved, width):
    page = visit.open(saved)
    ready(page)
    visit.assert_fits(width)
    visit.assert_accessible()
    layer(page, "conv3_1").click()
    page.get_by_label("Every layer shows").select_option("0")
    visit.assert_fits(width)
    visit.assert_accessible()
    page.emulate_media(color_scheme="dark")
    visit.assert_accessible()
    visit.assert_quiet()


def test_without_script_the_poster_is_there(visit_without_script, saved):
    page = visit_without_script.open(saved)
    poster = page.get_by_role("img")
    assert poster.is_visible() and "The picture at left" in poster.get_attribute("alt")
    assert poster.evaluate("image => image.naturalWidth") > 500


def test_an_old_browser_keeps_the_poster_and_is_told_why(visit, saved):
    visit.page.add_init_script("delete window.DecompressionStream")
    page = visit.open(saved)
    message = page.get_by_role("alert")
    message.wait_for()
    assert "this browser is too old" in message.inner_text()
    assert page.get_by_role("img").is_visible()
    assert page.locator(".explorer").count() == 0


def test_two_on_one_page_do_not_disturb_each_other(visit, explored, tmp_path):
    (tmp_path / "two.html").write_text(
        "<!DOCTYPE html><html lang=en><title>two</title><meta charset=utf-8><main><h1>Two</h1>"
        + 2 * f"<div>{explored._repr_html_()}</div>" + "</main></html>", encoding="utf-8")
    page = visit.open(tmp_path / "two.html")
    ready(page, "div:nth-of-type(1)")
    ready(page, "div:nth-of-type(2)")
    first, second = page.locator("h2").all()
    before = first.inner_text()
    page.locator(".explorer").nth(1).locator(".layer").nth(3).click()
    assert (first.inner_text(), second.inner_text().split(",")[0]) == (before, "pool1")
    visit.assert_quiet()


def test_what_is_not_on_the_page_cannot_be_chosen(visit, model, tmp_path):
    image = np.zeros((16, 24, 3), np.uint8)
    small = model.explore(image, pixels=[(0, 0)], layers=["pool3", "score_pool3"])
    page = visit.open(small.save(tmp_path / "small.html"))
    ready(page)
    assert layer(page, "conv1_1").is_disabled() and layer(page, "pool3").is_enabled()
    layer(page, "score_pool3").click()
    value = caption(page)[2]
    assert float(rows_of(page, ".sums")[-1][3]) == pytest.approx(value, rel=1e-3, abs=2e-4)
    layer(page, "output").click()
    row, column, value = caption(page)
    assert value == pytest.approx(small.maps["output"][row, column].max(), rel=5e-4)
    visit.assert_quiet()
