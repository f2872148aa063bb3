"""The stepper in a real browser: what it shows is what NumPy computes."""
import re

import numpy as np
import pytest

import minifcn
from minifcn.ops import reference
from minifcn.teaching.page import DOCUMENT
from tests.teaching import students

pytestmark = pytest.mark.browser


def small(*shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(float)


def convolution():
    """A trace with two images, a stride that leaves a rest, and padding."""
    return minifcn.trace(reference.conv2d_forward, small(2, 4, 5, 2), small(3, 2, 2, 2, seed=1),
                         np.array([0.5, -1.0]), 2, 1)


@pytest.fixture(scope="module")
def trace():
    return convolution()


def document(*traces):
    fragments = "".join(each._repr_html_() for each in traces)
    return DOCUMENT.format(title="steppers", fragment=fragments)


def number(text):
    return np.nan if text in ("", "nan") else float(text.replace("−", "-"))


def grids(page, stepper=0):
    """The numbers of all grids on the page: {label: rows}."""
    found = page.evaluate("""stepper => Object.fromEntries(
        [...document.querySelectorAll(".stepper")[stepper].querySelectorAll(".grid")].map(grid =>
        [grid.ariaLabel, [...grid.querySelectorAll(".line")].slice(1).map(line =>
        [...line.querySelectorAll(".cell")].map(cell => cell.textContent))]))""", stepper)
    return {label: np.array([[number(text) for text in row] for row in rows])
            for label, rows in found.items()}


def array_shown(page, name, shape, stepper=0):
    """A 4-D array put together from its grids: ``y n 0, f 1`` holds y[0, :, :, 1]."""
    array = np.full(shape, np.nan)
    for label, rows in grids(page, stepper).items():
        parts = re.fullmatch(r"(.+) \w+ (\d+), \w+ (\d+)", label)
        if parts and parts[1] == name:
            array[int(parts[2]), :, :, int(parts[3])] = rows
    return array


def values_after(trace, steps, name):
    """What NumPy says: the recorded writes up to a step."""
    array = np.full(trace.arrays[name].shape, np.nan)
    for step in trace.steps[:steps]:
        for written, index, value in step.writes:
            if written == name:
                array[index] = value
    return array


def position(page):
    return int(page.locator(".slider").first.input_value())


def formula(page):
    text = page.locator(".formula").first.text_content()
    return text.replace("−", "-").replace("→", "->")


def test_it_shows_the_numbers_of_numpy_at_every_step_clicked(open_page, trace):
    page = open_page(document(trace))
    for k in range(1, 25):
        page.get_by_role("button", name="Step", exact=True).click()
        assert position(page) == k
        np.testing.assert_allclose(array_shown(page, "y", trace.result.shape),
                                   values_after(trace, k, "y"), rtol=5e-3)
        marked = page.locator(".cell.written").all_text_contents()
        written = [value for name, _, value in trace.steps[k - 1].writes if name in trace.arrays]
        assert [number(each) for each in marked] == written
    page.get_by_role("button", name="Back").click()
    assert position(page) == 23
    np.testing.assert_allclose(array_shown(page, "y", trace.result.shape),
                               values_after(trace, 23, "y"), rtol=5e-3)
    page.get_by_role("button", name="End").click()
    expected = reference.conv2d_forward(small(2, 4, 5, 2), small(3, 2, 2, 2, seed=1),
                                        np.array([0.5, -1.0]), 2, 1)
    np.testing.assert_allclose(array_shown(page, "y", expected.shape), expected, rtol=5e-3)


def cases():
    """(name, trace) of functions that write regions, several arrays, and in other styles."""
    x, weight, bias = small(1, 3, 4, 2), small(2, 2, 2, 2, seed=1), small(2)
    y, argmax = reference.max_pool2d_forward(x)
    dy = small(*reference.conv2d_forward(x, weight, bias).shape, seed=2)
    labels = np.array([[[0, 1, 255, 1]] * 3])
    for function, *arguments in (
            (reference.conv2d_backward, dy, x, weight), (reference.max_pool2d_backward, y, argmax,
                                                         x.shape),
            (reference.conv_transpose2d_forward, x, weight, bias, 2),
            (reference.softmax_cross_entropy, x / 7, labels),
            (students.im2col_forward, x, weight, bias, 1, 1),
            (students.add_at_backward, dy, x, weight, 1, 0)):
        yield minifcn.trace(function, *arguments)


def test_all_arrays_are_those_of_the_trace_at_any_step(open_page):
    rng = np.random.default_rng(0)
    for trace in cases():
        page = open_page(document(trace))
        for steps in (*rng.permutation(len(trace.steps))[:4], len(trace.steps)):
            page.locator(".slider").fill(str(steps))
            for name, array in trace.arrays.items():
                if array.ndim == 4 and trace.recorder.arrays[name].initial is None:
                    kernel = name == "dweight"
                    shape = [array.shape[k] for k in (2, 0, 1, 3)] if kernel else array.shape
                    expected = values_after(trace, steps, name)
                    expected = expected.transpose(2, 0, 1, 3) if kernel else expected
                    np.testing.assert_allclose(array_shown(page, name, shape), expected,
                                               rtol=6e-3, err_msg=f"{trace.name} {name} {steps}")


def test_the_formula_is_that_of_the_trace_and_the_line_is_marked(open_page, trace):
    page = open_page(document(trace))
    for k in (8, 12, 30, len(trace.steps) - 1):
        page.locator(".slider").fill(str(k + 1))
        left, right = trace.steps[k].arithmetic.split("  ->  ")
        shown_left, shown_right = formula(page).split(" -> ")
        assert shown_left == left
        assert shown_right == right if right != "0.5 = 0.5" else "0.5"
        assert page.locator("[aria-current=step] .words").text_content() == trace.steps[k].code
        caption = page.locator("[aria-live]").text_content()
        assert f"line {trace.steps[k].line}" in caption and caption.startswith(f"Step {k + 1} of")


def test_keys_do_what_the_buttons_do(open_page, trace):
    page = open_page(document(trace))       # they work at once, and after a click beside it
    page.get_by_role("heading").click()
    for keys, expected in (("s s ArrowRight", 3), ("b ArrowLeft", 1), ("End", len(trace.steps)),
                           ("ArrowLeft", len(trace.steps) - 1), ("Home", 0)):
        for key in keys.split():
            page.keyboard.press(key)
        assert position(page) == expected, keys
    finished = {}
    for k, step in enumerate(trace.steps, 1):
        finished.update({index: k for name, index, _ in step.writes if name == "y"})
    for expected in sorted(set(finished.values()))[:5]:
        page.keyboard.press("n")
        assert position(page) == expected
        (index,) = [index for index, k in finished.items() if k == expected]
        assert number(page.locator(".cell.written").text_content()) == trace.result[index]


def test_arrows_work_inside_the_cell_of_a_notebook(open_page, trace):
    fragment = f'<div class="cell">{trace._repr_html_()}</div>'     # as the site's pages have it
    page = open_page(DOCUMENT.format(title="notebook", fragment=fragment))
    page.locator(".step").click()
    page.keyboard.press("ArrowRight")
    assert position(page) == 2


def test_the_legend_has_every_mark(open_page, trace):
    page = open_page(document(trace))
    page.get_by_role("button", name="End").click()
    page.get_by_role("grid", name="y n 0, f 0").locator(".cell").nth(4).hover()
    shown = page.locator(".legend span").evaluate_all("all => all.map(each => each.className)")
    assert shown == ["read", "written", "source", "goal", "positive", "negative", ""]


def test_play_runs_and_pauses(open_page, trace):
    page = open_page(document(trace))
    page.get_by_label("Speed").select_option("fast")
    page.locator(".help").click()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.slider').value > 3")
    assert page.locator("[aria-live]").get_attribute("aria-live") == "off"
    page.get_by_role("button", name="Pause").click()
    stopped = position(page)
    page.wait_for_timeout(400)
    assert position(page) == stopped


def test_it_steps_by_rounds_of_a_loop(open_page, trace):
    page = open_page(document(trace))
    option = page.locator(".unit option", has_text="for j in").text_content()
    page.get_by_label("Step by").select_option(option)
    seen = []
    for _ in range(4):
        page.get_by_role("button", name="Step", exact=True).click()
        seen.append(re.search(r"\bj\s(\d+)", page.locator(".numbers").text_content())[1])
    assert seen == ["0", "1", "2", "0"]


def test_a_cell_tells_what_made_it_and_where_it_goes(open_page, trace):
    page = open_page(document(trace))
    page.get_by_role("button", name="End").click()
    grid = page.get_by_role("grid", name="y n 0, f 0")
    grid.locator(".cell").nth(4).hover()        # row 1, column 1: the whole window lies inside
    made = page.locator(".cell.source")
    window, kernel = 3 * 2 * 2, 3 * 2 * 2
    assert made.count() == window + kernel + 1      # and the bias
    assert "Made in 13 steps, 13 done" in page.locator(".story").text_content()
    grid = page.get_by_role("grid", name="x n 0, c 0")
    grid.locator(".cell").nth(6).focus()        # row 1, column 1
    x = np.zeros((1, 4, 5, 2))
    x[0, 1, 1, 0] = 1
    reached = reference.conv2d_forward(x, np.ones((3, 2, 2, 2)), np.zeros(2), 2, 1)
    assert page.locator(".cell.goal").count() == np.count_nonzero(reached)
    page.keyboard.press("ArrowRight")
    assert page.locator(".story .name").text_content().startswith("x[0,1,2,0] = ")


def test_local_sums_are_followed(open_page):
    """Through ``total`` a cell still knows the products that went into it."""
    def row_sums(x, weight):
        y = np.zeros(len(x))
        for i in range(len(x)):
            total = 0.0
            for j in range(x.shape[1]):
                total += x[i, j] * weight[j]
            y[i] = total
        return y

    page = open_page(document(minifcn.trace(row_sums, small(3, 4), small(4, seed=1))))
    page.get_by_role("button", name="End").click()
    page.get_by_role("grid", name="y").locator(".cell").nth(1).hover()
    assert page.locator(".cell.source").count() == 4 + 4
    page.get_by_role("grid", name="weight").locator(".cell").nth(2).hover()
    assert page.locator(".cell.goal").count() == 3


def test_two_on_one_page_do_not_disturb_each_other(open_page, trace):
    other = minifcn.trace(reference.relu_forward, small(1, 2, 3, 2))
    page = open_page(document(trace, other, trace))
    first, second, third = (page.locator(".stepper").nth(k) for k in range(3))
    second.get_by_role("button", name="End").click()
    first.get_by_role("button", name="Step", exact=True).click()
    values = [each.locator(".slider").input_value() for each in (first, second, third)]
    assert values == ["1", str(len(other.steps)), "0"]
    shown = array_shown(page, "y", (1, 2, 3, 2), stepper=1)
    np.testing.assert_array_equal(shown, np.maximum(small(1, 2, 3, 2), 0))
    assert page.locator("[id]").count() == 0


def test_without_script_the_poster_is_there(open_page, trace):
    page = open_page(document(trace), java_script_enabled=False)
    poster = page.get_by_role("img")
    assert poster.is_visible() and poster.bounding_box()["width"] > 300
    assert "step" in poster.get_attribute("alt")
    assert page.locator(".stepper").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_every_width_is_usable_and_accessible(open_page, trace, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(document(trace), width=width, color_scheme=scheme)
    page.get_by_role("button", name="Step", exact=True).click()
    page.locator(".slider").fill("40")
    assert page.locator(".poster").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("grid", name="x n 0, c 0").locator(".cell").first.focus()
    button = page.get_by_role("button", name="Step", exact=True).bounding_box()
    assert button["x"] >= 0 and button["x"] + button["width"] <= width
    assert 0 <= button["y"] < 900, "the buttons stay in view"
    serious = [(each["id"], each["nodes"][0]["html"]) for each in Axe().run(page).response
               ["violations"] if each["impact"] in ("serious", "critical")]
    assert serious == []


def test_a_step_changes_a_few_elements_only(open_page):
    trace = minifcn.trace(reference.conv2d_forward, small(1, 9, 9, 3), small(3, 3, 3, 3, seed=1),
                          np.zeros(3), 1, 1)
    assert len(trace.steps) > 5000
    page = open_page(document(trace))
    page.locator(".slider").fill("5000")
    page.evaluate("""() => { window.added = 0; new MutationObserver(records => {
        for (const record of records) window.added += record.addedNodes.length;
        }).observe(document.body, {childList: true, subtree: true}); }""")
    page.locator(".help").click()
    page.get_by_role("button", name="Back").click()
    assert 0 < page.evaluate("window.added") < 200


def test_motion_can_be_reduced(open_page, trace):
    page = open_page(document(trace), reduced_motion="reduce")
    assert page.locator(".cell").first.evaluate("e => getComputedStyle(e).transitionDuration") \
        == "0s"


def test_an_error_is_shown_where_it_happened(open_page):
    def off_by_one(x):
        y = np.zeros_like(x)
        for i in range(len(x)):
            y[i] = x[i] + x[i + 1]
        return y

    trace = minifcn.trace(off_by_one, np.array([1.0, np.nan, 3.0]))
    page = open_page(document(trace))
    page.get_by_role("button", name="End").click()
    text = page.locator(".formula").text_content()
    assert "IndexError" in text and f"line {trace.line}" in text
    assert page.get_by_role("grid", name="y").locator(".cell").all_text_contents() == \
        ["nan", "nan", "0"]
