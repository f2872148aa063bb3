"""An overlay shows mask and image at a size for the screen, with a legend that agrees."""
import io

import numpy as np
import pytest
from PIL import Image

from minifcn.data import read_image, voc_palette
from minifcn.plotting import overlay, write_overlay
from minifcn.plotting.pictures import LARGEST_FILE, STRIPES

PALETTE = voc_palette(4)
NAMES = ["background", "a long name of a class", "Straße", "cat"]


def colours_in(picture):
    return {tuple(colour) for colour in np.asarray(picture).reshape(-1, 3).tolist()}


@pytest.mark.parametrize("h, w, drawn_h, drawn_w", [
    (96, 96, 576, 576), (1, 1, 640, 640), (300, 500, 300, 500), (700, 900, 700, 900),
    (2400, 1200, 1200, 600), (3, 5000, 1, 1200)])
def test_the_picture_has_a_size_for_the_screen(h, w, drawn_h, drawn_w):
    picture = overlay(np.zeros((h, w, 3), np.uint8), np.zeros((h, w), int), PALETTE, NAMES)
    assert picture.width == max(drawn_w, 240)
    assert drawn_h + 20 < picture.height < drawn_h + 60


def test_alpha_blends():
    image = np.full((40, 40, 3), 200, np.uint8)
    mask = np.ones((40, 40), np.uint8)
    for alpha in (0.0, 0.25, 1.0):
        drawn = np.asarray(overlay(image, mask, PALETTE, NAMES, alpha))[:640, :640]
        expected = (1 - alpha) * 200 + alpha * PALETTE[1].astype(float)
        np.testing.assert_allclose(drawn, np.broadcast_to(expected, drawn.shape), atol=0.5)


def test_each_pixel_of_a_small_mask_becomes_a_square():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 4, (8, 8))
    drawn = np.asarray(overlay(np.zeros((8, 8, 3), np.uint8), mask, PALETTE, NAMES, alpha=1))
    np.testing.assert_array_equal(drawn[40:640:80, 40:640:80], PALETTE[mask])
    np.testing.assert_array_equal(drawn[:640, :640], PALETTE[mask.repeat(80, 0).repeat(80, 1)])


def test_the_legend_holds_the_classes_that_are_there():
    image = np.full((100, 100, 3), 77, np.uint8)
    mask = np.zeros((100, 100), np.uint8)
    mask[:50] = 3
    shown = colours_in(overlay(image, mask, PALETTE, NAMES, alpha=0).crop((0, 600, 600, 700)))
    assert tuple(PALETTE[3]) in shown and tuple(PALETTE[0]) in shown
    assert tuple(PALETTE[1]) not in shown and tuple(PALETTE[2]) not in shown


@pytest.mark.parametrize("value", [255, -1, 4])
def test_what_is_no_class_is_striped_and_named(value):
    mask = np.zeros((64, 64), int)
    mask[:32] = value
    striped = overlay(np.zeros((64, 64, 3), np.uint8), mask, PALETTE, NAMES, 1)
    upper = colours_in(striped.crop((0, 0, 640, 320)))
    assert upper == {(grey,) * 3 for grey in STRIPES}
    legend = np.asarray(striped)[640:]
    assert all((legend == grey).all(axis=2).sum() > 100 for grey in STRIPES)      # half a swatch


def test_a_file_is_small_and_its_legend_exact(tmp_path):
    """Noise does not fit in 300 kB; the colours of the legend still are those of the palette."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (900, 1100, 3)).astype(np.uint8)
    mask = rng.integers(0, 4, (9, 11)).repeat(100, 0).repeat(100, 1)
    path = tmp_path / "a.png"
    write_overlay(path, image, mask, PALETTE, NAMES)
    assert 50_000 < path.stat().st_size <= LARGEST_FILE
    picture = read_image(path)
    # The legend of a shrunk picture is blurred at its edges, not inside of its swatches.
    legend = picture[-40:].astype(int)
    assert all((abs(legend - colour).max(axis=2) <= 3).any() for colour in PALETTE)


def test_a_photograph_of_usual_size_is_not_shrunk(tmp_path):
    ramp = np.linspace(0, 255, 1000)[None, :, None] * np.linspace(0, 1, 700)[:, None, None]
    image = (ramp * [1, 0.8, 0.6]).round().astype(np.uint8)
    image += np.random.default_rng(0).integers(0, 3, image.shape).astype(np.uint8)
    mask = np.zeros((700, 1000), np.uint8)
    mask[200:500, 300:700] = 2
    write_overlay(tmp_path / "a.png", image, mask, PALETTE, NAMES)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1000 and picture.mode == "P"
        legend = np.array(picture.convert("RGB"))[700:]
    for colour in (PALETTE[0], PALETTE[2]):
        assert (legend == colour).all(axis=2).sum() > 200       # a swatch
    assert (legend == 255).all(axis=2).mean() > 0.9             # paper


def test_many_classes_take_several_lines():
    names = [f"class number {i}" for i in range(30)]
    mask = np.arange(30).repeat(10)[None].repeat(200, 0)
    one = overlay(np.zeros((200, 300, 3), np.uint8), mask, voc_palette(30), names)
    assert one.height > 400 + 8 * 20
    assert {tuple(colour) for colour in voc_palette(30).tolist()} <= colours_in(one)


@pytest.mark.parametrize("image, mask, palette, names, message", [
    (np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), int), PALETTE, NAMES, r"\(5, 4\).*\(4, 5"),
    (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), int), PALETTE[:3], NAMES, "4 class names.* 3"),
    (np.zeros((4, 5), np.uint8), np.zeros((4, 5), int), PALETTE, NAMES, "grey")])
def test_what_does_not_fit_together(image, mask, palette, names, message):
    with pytest.raises(ValueError, match=message):
        overlay(image, mask, palette, names)


def test_nothing_is_left_behind_if_it_cannot_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        write_overlay(tmp_path / "absent" / "a.png", np.zeros((4, 5, 3), np.uint8),
                      np.zeros((4, 5), int), PALETTE, NAMES)
    assert list(tmp_path.iterdir()) == []


def test_the_picture_is_a_png():
    buffer = io.BytesIO()
    picture = overlay(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), int), PALETTE, NAMES)
    picture.save(buffer, format="PNG")
    assert picture.mode == "RGB" and buffer.getvalue().startswith(b"\x89PNG")
