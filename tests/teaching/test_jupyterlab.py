"""Pages in JupyterLab itself, as outputs of a notebook that is trusted, and of one that is not."""
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest

import minifcn
from minifcn.ops import reference

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def trace():
    x = np.arange(6.0).reshape(2, 3)
    return minifcn.trace(reference.linear_forward, x, np.ones((3, 2)), np.array([1.0, 2.0]))


@pytest.fixture(scope="module")
def explored():
    model = minifcn.FCN(8, 4, width=1 / 16, fc_channels=8, seed=3)
    image = np.random.default_rng(1).integers(0, 256, (29, 41, 3), np.uint8)
    return model.explore(image, pixels=[(9, 30)])


def notebook(path, *shown):
    """Cells whose outputs are stored, as an executed notebook has them."""
    from IPython.core.formatters import DisplayFormatter

    cells = []
    for k, each in enumerate(shown):
        data, metadata = DisplayFormatter().format(each)
        output = {"output_type": "display_data", "data": data, "metadata": metadata}
        cells.append({"cell_type": "code", "id": f"cell{k}", "execution_count": 1, "metadata": {},
                      "source": f"# {path.stem}",   # trust goes by content
                      "outputs": [output]})
    kernel = {"name": "none", "display_name": "none", "language": "python"}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "cells": cells,
                                "metadata": {"kernelspec": kernel}}))


@pytest.fixture(scope="module")
def lab(tmp_path_factory, trace, explored):
    """Address of a server on this machine, with a trusted and an untrusted notebook."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed (extra: tutorials)")
    folder = tmp_path_factory.mktemp("lab")
    environment = {**os.environ, "HOME": str(folder), "JUPYTER_ALLOW_INSECURE_WRITES": "1"}
    for name in ("trusted", "untrusted"):
        notebook(folder / f"{name}.ipynb", trace, trace)
        notebook(folder / f"{name}-explorer.ipynb", explored, explored)
    subprocess.run([sys.executable, "-m", "jupyter", "trust", "trusted.ipynb",
                    "trusted-explorer.ipynb"], cwd=folder,
                   env=environment, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
         f"--port={port}", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
         "--LabApp.news_url=", "--LabApp.check_for_updates_class="
         "jupyterlab.handlers.announcements.NeverCheckForUpdate"],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/api").close()
                break
            except OSError:
                assert server.poll() is None, "JupyterLab did not start"
                time.sleep(0.2)
        yield address
    finally:
        server.kill()       # it holds nothing worth saving
        server.wait()


def opened(chromium, lab, name):
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{lab}/lab/tree/{name}.ipynb?reset")
    page.wait_for_selector(", ".join(f".jp-RenderedHTMLCommon {what}" for what in
                                     ("img.poster", ".stepper", ".explorer")))
    page.get_by_role("dialog").get_by_role("button", name="No Kernel").click()
    return page


def test_a_trusted_notebook_steps(chromium, lab, trace):
    page = opened(chromium, lab, "trusted")
    steppers = page.locator(".stepper")
    steppers.nth(1).wait_for()
    assert page.locator("img.poster").count() == 0
    first = steppers.nth(0)
    first.get_by_role("button", name="End").click()
    page.keyboard.press("b")            # in JupyterLab's own command mode: a new cell
    assert first.locator(".slider").input_value() == str(len(trace.steps) - 1)
    assert page.locator(".jp-CodeCell").count() == 2
    page.keyboard.press("End")
    cells = first.get_by_role("grid", name="y").locator(".cell").all_text_contents()
    assert np.allclose(np.array(cells, float).reshape(2, 2), trace.result)
    assert steppers.nth(1).locator(".slider").input_value() == "0"
    page.context.close()


def test_an_untrusted_notebook_shows_the_poster(chromium, lab, trace):
    page = opened(chromium, lab, "untrusted")
    poster = page.locator("img.poster").first
    poster.wait_for(state="visible")
    assert poster.get_attribute("alt").startswith("Stepper of linear")
    assert poster.evaluate("image => image.naturalWidth") > 500
    assert page.locator(".stepper").count() == 0
    shown = page.locator(".jp-RenderedHTMLCommon").first.inner_text()
    assert shown.strip() == "", "nothing of script or style may be left as text"
    page.context.close()


def test_a_trusted_notebook_explores(chromium, lab, explored):
    page = opened(chromium, lab, "trusted-explorer")
    first, second = page.locator(".explorer").nth(0), page.locator(".explorer").nth(1)
    second.locator("h2", has_text=", class ").wait_for()
    untouched = second.locator("h2").text_content()
    first.get_by_role("button", name="pool3", exact=False).first.click()
    assert first.locator("h2").inner_text().startswith("pool3, channel ")
    row, column = 2, 3
    first.locator(".map").nth(1).focus()
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    for key, times in (("ArrowDown", row), ("ArrowRight", column)):
        for _ in range(times):
            page.keyboard.press(key)
    channel = int(first.locator("h2").inner_text().rsplit(" ", 1)[1])
    value = float(first.locator(".caption b").first.inner_text())
    assert value == pytest.approx(explored.maps["pool3"][row, column, channel], rel=1e-3)
    assert second.locator("h2").text_content() == untouched    # it may be out of view
    assert page.locator("img.poster").count() == 0
    page.context.close()


def test_an_untrusted_notebook_shows_the_explorers_poster(chromium, lab):
    page = opened(chromium, lab, "untrusted-explorer")
    poster = page.locator("img.poster").first
    poster.wait_for(state="visible")
    assert "The picture at left" in poster.get_attribute("alt")
    assert poster.evaluate("image => image.naturalWidth") > 500
    assert page.locator(".explorer").count() == 0
    assert page.locator(".jp-RenderedHTMLCommon").first.inner_text().strip() == ""
    page.context.close()
