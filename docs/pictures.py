"""Draws docs/stepper.png and docs/explorer.png, pictures of the two pages: python docs/pictures.py

It needs the extra ``site`` and Chromium, like ``make site``.
"""
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from minifcn.data import Streets

DOCS = Path(__file__).parent
PICTURE = Streets(count=40, size=(128, 128))[21].image


def minifcn(*words: str, folder: str) -> None:
    subprocess.run([sys.executable, "-m", "minifcn", *words, "--quiet"], cwd=folder, check=True)


def shoot(page, name: str, height: int) -> None:
    shot = page.screenshot(clip={"x": 0, "y": 0, "width": 1280, "height": height})
    with Image.open(io.BytesIO(shot)) as picture:
        picture.convert("RGB").save(DOCS / f"{name}.png", optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        Image.fromarray(PICTURE).save(Path(folder) / "street.png")
        minifcn("step", "conv2d_backward", "--shape", "1x4x5x2", "--stride", "2", folder=folder)
        minifcn("explore", "streets-8s", "street.png", folder=folder)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"),
                                             args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto((Path(folder) / "step.html").as_uri())
        page.locator(".slider").fill("120")
        page.locator(".slider").blur()
        page.get_by_role("grid", name="dx n 0, c 0").locator(".cell").nth(2).hover()
        shoot(page, "stepper", 920)
        page.goto((Path(folder) / "explorer.html").as_uri())
        page.locator(".layer", has_text="pool3").first.click()
        shoot(page, "explorer", 935)
        browser.close()


if __name__ == "__main__":
    main()
