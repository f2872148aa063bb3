"""Pictures: a figure never goes into a page without words."""
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from minifcn.teaching import grid, show


def test_a_picture_is_an_image_with_words():
    figure, axis = plt.subplots()
    grid(axis, np.arange(6).reshape(2, 3) - 2, "x (2, 3)", marks=[(0, 0, 2, 2)])
    picture = show(figure, alt='two rows, "three" columns')
    assert repr(picture) == '[picture] two rows, "three" columns'
    assert 'alt="two rows, &quot;three&quot; columns"' in picture._repr_html_()
    assert Image.open(io.BytesIO(picture._repr_png_())).format == "PNG"
    assert not plt.fignum_exists(figure.number)


def test_a_grid_shows_every_number_and_frames_what_is_marked():
    figure, axis = plt.subplots()
    grid(axis, [[1.25, -3.0], [0.0, 100.0]], "x", marks=[(1, 0, 1, 2)])
    assert [text.get_text() for text in axis.texts] == ["1.25", "-3", "0", "100"]
    frame = axis.patches[0]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((-0.5, 0.5), 2, 1)
    plt.close(figure)


def test_no_picture_without_words():
    figure, _ = plt.subplots()
    with pytest.raises(ValueError, match="say in alt"):
        show(figure, alt=" ")
    plt.close(figure)
    with pytest.raises(ValueError, match="takes a matplotlib figure"):
        show("figure", alt="words")


def test_a_grid_of_four_axes_is_refused():
    figure, axis = plt.subplots()
    with pytest.raises(ValueError, match="pick one image and one channel"):
        grid(axis, np.zeros((1, 2, 2, 1)))
    plt.close(figure)
