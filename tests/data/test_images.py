"""Whatever a file holds becomes one thing, or is refused with one line that names the file."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minifcn.data import as_image, read_image, read_labels, voc_palette, write_mask

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = RNG.integers(0, 256, (6, 9)).astype(np.uint8)


def saved(folder, picture, name="a.png", **options):
    path = folder / name
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def raw_png(path, width, height, bits=8, colour_type=2, rows=b"\0" * 100):
    """A PNG made by hand: of a size that it only claims, or of few bits."""
    def chunk(kind, data):
        length, checksum = len(data), zlib.crc32(kind + data)
        return struct.pack(">I", length) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


# -- images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, options", [
    ("a.png", {}), ("a.bmp", {}), ("a.tif", {}), ("a.tiff", {"compression": "tiff_lzw"}),
    ("a.webp", {"lossless": True}), ("a.ppm", {})])
def test_lossless_formats_come_back_as_they_were(tmp_path, name, options):
    image = read_image(saved(tmp_path, PICTURE, name, **options))
    assert image.dtype == np.uint8 and image.flags.writeable
    np.testing.assert_array_equal(image, PICTURE)


def test_a_jpeg_comes_back_nearly(tmp_path):
    smooth = np.tile(np.arange(0, 250, 10, dtype=np.uint8)[:, None, None], (1, 20, 3))
    image = read_image(saved(tmp_path, smooth, "a.jpg", quality=95))
    assert abs(image.astype(int) - smooth).max() <= 4


def test_grey_becomes_three_equal_channels(tmp_path):
    image = read_image(saved(tmp_path, GREY))
    np.testing.assert_array_equal(image, np.stack([GREY] * 3, axis=-1))


def test_bilevel_becomes_black_and_white(tmp_path):
    image = read_image(saved(tmp_path, Image.fromarray(GREY > 100)))
    np.testing.assert_array_equal(image[..., 1], np.where(GREY > 100, 255, 0))


def test_a_palette_becomes_its_colours(tmp_path):
    ids = (GREY % 21).astype(np.uint8)
    write_mask(tmp_path / "a.png", ids, voc_palette(21))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), voc_palette(21)[ids])


def test_sixteen_bits_are_scaled_by_their_range(tmp_path):
    deep = np.array([[0, 128, 129, 257, 32768, 65278, 65407, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        image = read_image(saved(tmp_path, deep, name))
        np.testing.assert_array_equal(image[0, :, 0], [0, 0, 1, 1, 128, 254, 255, 255])


@pytest.mark.parametrize("picture", [
    np.full((2, 2), 0.5, np.float32), np.full((2, 2), 70000, np.int32),
    np.full((2, 2), -1, np.int32)])
def test_pixels_without_a_known_range_are_refused(tmp_path, picture):
    path = saved(tmp_path, picture, "deep.tif")
    with pytest.raises(ValueError, match=r"deep\.tif has .* whose range is unknown; convert it"):
        read_image(path)


def test_transparent_pixels_lie_on_white(tmp_path):
    rgba = np.dstack([PICTURE, np.tile(np.array([0, 128, 255], np.uint8), (6, 3))])
    image = read_image(saved(tmp_path, rgba))
    np.testing.assert_array_equal(image[:, 0::3], 255)
    np.testing.assert_array_equal(image[:, 2::3], PICTURE[:, 2::3])
    expected = 255 + (PICTURE[:, 1::3] - 255.0) * 128 / 255
    np.testing.assert_allclose(image[:, 1::3], expected, atol=1)


def test_two_channels_are_grey_with_alpha(tmp_path):
    both = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (9, 6), 255)])
    np.testing.assert_array_equal(read_image(saved(tmp_path, both)), np.stack([GREY] * 3, -1))


def test_a_transparent_palette_entry_is_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60])
    path = saved(tmp_path, image, transparency=1)
    np.testing.assert_array_equal(read_image(path), [[[10, 20, 30], [255, 255, 255]]])


def test_cmyk_becomes_rgb(tmp_path):
    inks = Image.new("CMYK", (9, 6), (0, 255, 255, 0))
    image = read_image(saved(tmp_path, inks, "a.tif"))
    np.testing.assert_array_equal(image, np.broadcast_to([255, 0, 0], (6, 9, 3)))


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_of_an_animation_the_first_picture_is_taken(tmp_path, name):
    frames = [Image.new("RGB", (9, 6), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:],
                   **({"lossless": True} if name == "a.webp" else {}))
    image = read_image(tmp_path / name)
    np.testing.assert_array_equal(image, np.broadcast_to([255, 0, 0], (6, 9, 3)))


# How the stored pixels of each EXIF orientation relate to the upright picture.
STORED = {
    1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1], 4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1), 6: lambda x: np.rot90(x),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: lambda x: np.rot90(x, -1)}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_exif_rotation_is_applied_once(tmp_path, name, orientation):
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](PICTURE)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path, stored, name, exif=exif, **options)
    np.testing.assert_array_equal(read_image(path), PICTURE)


def test_sixteen_bits_are_turned_upright_too(tmp_path):
    deep = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    exif = Image.Exif()
    exif[0x0112] = 3
    path = saved(tmp_path, deep[::-1, ::-1].copy(), exif=exif)
    np.testing.assert_array_equal(read_image(path)[..., 0], deep // 257)


@pytest.mark.parametrize("block", [
    b"", b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_a_broken_exif_block_does_not_matter(tmp_path, block):
    path = saved(tmp_path, PICTURE, exif=block)
    np.testing.assert_array_equal(read_image(path), PICTURE)


# -- files that cannot be read ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.webp", "a.gif", "a.ppm"])
def test_a_file_cut_off_anywhere_is_refused_or_whole(tmp_path, name):
    """At no length does another exception, a warning or a wrong size come out."""
    whole = saved(tmp_path, RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8), name)
    content = whole.read_bytes()
    cut = tmp_path / f"cut-{name}"
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 60)):
        cut.write_bytes(content[:length])
        try:
            assert read_image(cut).shape == (20, 30, 3)
        except ValueError as error:
            refused += 1
            assert str(cut) in str(error) and "\n" not in str(error)
    assert refused > 40


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif", "a.webp", "a.gif"])
def test_a_damaged_file_gives_a_picture_or_one_line(tmp_path, name):
    content = saved(tmp_path, PICTURE, name).read_bytes()
    damaged = tmp_path / f"damaged-{name}"
    for seed in range(60):
        bytes_ = bytearray(content)
        rng = np.random.default_rng(seed)
        for position in rng.integers(0, len(content), rng.integers(1, 5)):
            bytes_[position] = rng.integers(0, 256)
        damaged.write_bytes(bytes_)
        try:
            image = read_image(damaged)
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        except ValueError as error:
            assert str(damaged) in str(error)


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"), (b"hello, this is text\n" * 20, "is not an image"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is not an image")])
def test_what_is_no_image_is_refused(tmp_path, content, message):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_image, read_labels):
        with pytest.raises(ValueError, match=rf"a\.png {message}"):
            read(path)


def test_missing_files_and_folders_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(OSError, match="folder"):
        (tmp_path / "folder.png").mkdir()
        read_image(tmp_path / "folder.png")


def test_the_limit_of_pixels(tmp_path):
    path = saved(tmp_path, PICTURE)
    assert read_image(path, limit=54).shape == (6, 9, 3)
    with pytest.raises(ValueError, match=r"a\.png has 9 x 6 = 54 pixels, more than"):
        read_image(path, limit=53)


@pytest.mark.parametrize("width, height", [(10_001, 10_000), (12_000, 12_000), (60_000, 60_000)])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, width, height):
    path = raw_png(tmp_path / "bomb.png", width, height)
    for read in (read_image, read_labels):
        with pytest.raises(ValueError, match=r"bomb\.png has .* the limit of 100,000,000"):
            read(path)


def test_an_image_without_pixels_is_refused(tmp_path):
    path = tmp_path / "none.bmp"
    content = io.BytesIO()
    Image.fromarray(PICTURE).save(content, format="BMP")
    data = bytearray(content.getvalue())
    data[18:22] = struct.pack("<i", 0)      # the width
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"none\.bmp"):
        read_image(path)
    with pytest.raises(ValueError, match=r"none\.png"):
        read_image(raw_png(tmp_path / "none.png", 0, 5))


# -- labels ----------------------------------------------------------------------------------------


def test_grey_labels_are_their_values(tmp_path):
    np.testing.assert_array_equal(read_labels(saved(tmp_path, GREY)), GREY)


def test_palette_labels_are_their_indices(tmp_path):
    ids = np.array([[0, 5, 20], [255, 1, 0]], np.uint8)
    write_mask(tmp_path / "a.png", ids, voc_palette(21))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), ids)
    palette = [*voc_palette(21), (224, 224, 192)]
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png", palette, [*range(21), 255]), ids)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_labels_of_sixteen_bits(tmp_path, name):
    ids = np.array([[0, 300], [65535, 256]], np.uint16)
    np.testing.assert_array_equal(read_labels(saved(tmp_path, ids, name)), ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_not_stretched(tmp_path, bits):
    ids = (np.arange(16).reshape(2, 8) % 2 ** bits).astype(np.uint8)
    low_bits = np.unpackbits(ids[..., None], axis=-1)[..., -bits:]
    packed = np.packbits(low_bits.reshape(2, -1), axis=-1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    path = raw_png(tmp_path / "few.png", 8, 2, bits, colour_type=0, rows=rows)
    np.testing.assert_array_equal(read_labels(path), ids)


def test_coloured_labels_are_looked_up(tmp_path):
    palette = voc_palette(21)
    ids = RNG.integers(0, 21, (30, 40))
    path = saved(tmp_path, palette[ids])
    np.testing.assert_array_equal(read_labels(path, palette), ids)
    others = RNG.permutation(21) + 100
    np.testing.assert_array_equal(read_labels(path, palette, others), others[ids])
    opaque = np.dstack([palette[ids], np.full((30, 40), 255, np.uint8)])
    np.testing.assert_array_equal(read_labels(saved(tmp_path, opaque), palette), ids)


def test_a_colour_that_is_not_in_the_palette_is_named(tmp_path):
    picture = voc_palette(21)[np.zeros((4, 5), int)]
    picture[2, 3] = 1, 2, 3
    path = saved(tmp_path, picture)
    with pytest.raises(ValueError, match=r"colour \(1, 2, 3\) at row 2, column 3 of .*a\.png is"):
        read_labels(path, voc_palette(21))
    with pytest.raises(ValueError, match=r"a\.png is coded in RGB colours, and no palette"):
        read_labels(path)


def test_colours_squeezed_into_a_palette_are_noticed(tmp_path):
    """A tool that makes PNGs small numbers the colours anew."""
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    squeezed = Image.fromarray(np.array([[0, 1]], np.uint8))
    squeezed.putpalette([0, 0, 255, 255, 0, 0])
    path = saved(tmp_path, squeezed)
    np.testing.assert_array_equal(read_labels(path), [[0, 1]])
    with pytest.raises(ValueError, match=r"a\.png shows index 0 in the colour of label 2; save it"):
        read_labels(path, palette)
    grey = Image.fromarray(np.array([[0, 1]], np.uint8))
    grey.putpalette(np.repeat(np.arange(256), 3).astype(np.uint8).tobytes())
    np.testing.assert_array_equal(read_labels(saved(tmp_path, grey), palette), [[0, 1]])


def test_labels_are_not_rotated(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(read_labels(saved(tmp_path, GREY, exif=exif)), GREY)


@pytest.mark.parametrize("name, picture, message", [
    ("a.jpg", GREY, "is a JPEG, whose compression changes labels"),
    ("a.tif", np.zeros((2, 2), np.float32), "has pixels of mode F"),
    ("a.png", np.dstack([PICTURE, GREY]), "has pixels of mode RGBA")])
def test_what_cannot_hold_labels_is_refused(tmp_path, name, picture, message):
    with pytest.raises(ValueError, match=rf"{name} {message}"):
        read_labels(saved(tmp_path, picture, name), voc_palette(21))


# -- masks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_a_mask_comes_back_and_shows_its_colours(tmp_path, dtype):
    mask = np.array([[0, 1, 2], [3, 20, 255]], dtype)
    write_mask(tmp_path / "a.png", mask, voc_palette(21))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "P"
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), mask)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], voc_palette(3))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[1, 2], [224, 224, 192])


@pytest.mark.parametrize("mask, message", [
    (np.array([[256]]), "256"), (np.array([[-1]]), "-1"), (np.zeros((2, 2)), "integer"),
    (np.zeros((2, 2, 3), np.uint8), "integer"), (np.zeros((0, 2), np.uint8), "integer")])
def test_what_is_no_mask(tmp_path, mask, message):
    with pytest.raises(ValueError, match=message):
        write_mask(tmp_path / "a.png", mask, voc_palette(2))
    assert list(tmp_path.iterdir()) == []


# -- arrays ----------------------------------------------------------------------------------------


def test_an_image_array_passes_through():
    assert as_image(PICTURE) is PICTURE


@pytest.mark.parametrize("array, message", [
    (PICTURE.astype(np.float32), r"float32.*\(image \* 255\)"), (PICTURE.astype(int), "int64"),
    (GREY, r"grey, shape \(6, 9\)"), (GREY[..., None], "grey"), (PICTURE[None], "one by one"),
    (np.dstack([PICTURE, GREY]), "4 channels"), (PICTURE[..., :2], r"shape \(6, 9, 2\)"),
    (PICTURE[:0], "no pixels"), (PICTURE[:, :0], "no pixels"), ([[1]], "list"),
    ("a.png", "read_image")])
def test_what_is_no_image_array(array, message):
    with pytest.raises(ValueError, match=f"street.*{message}"):
        as_image(array, "street")
