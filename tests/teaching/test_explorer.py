"""The explorer's numbers are the network's: maps, ways, receptive fields, gradients."""
import base64
import zlib

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn.cli import main
from minifcn.models.geometry import plan
from minifcn.teaching import explorer
from minifcn.teaching.explorer import GRADIENT_BITS, MAP_BITS, Passes, encoded, inputs_of, reads

VARIANTS = [(stride, geometry) for stride in (32, 16, 8) for geometry in ("exact", "caffe")]
SIZE = (21, 30)


def network(stride=8, geometry="exact", **options):
    """A small network in which nothing is zero."""
    config = {"width": 1 / 16, "fc_channels": 8, "dtype": "float64", "seed": 3} | options
    model = minifcn.FCN(stride, 3, geometry, **config)
    rng = np.random.default_rng(5)
    for name in model.parameters:
        if name.startswith("score") or name.endswith("bias"):
            model.parameters[name] = rng.normal(0, 0.5, model.parameters[name].shape)
    model.class_names = ["ground", "tree", "<car>"]
    return model


def picture(size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda each: f"{each[0]}s-{each[1]}")
def explored(request):
    model = network(*request.param)
    return model, model.explore(picture(), pixels=[(4, 25), (20, 0)])


def decoded(blob):
    """The float32 array of three byte planes: what the page's script does."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(blob["bytes"])), np.uint8)
    low = np.zeros(planes.size // 3, np.uint8)
    whole = np.stack([low, *planes.reshape(3, -1)], axis=1)
    return np.ascontiguousarray(whole).view("<f4").reshape(blob["shape"])


def half_a_bit(bits):
    """The relative error of rounding to ``bits`` bits, after one to float32."""
    return 2.0 ** -(bits + 1) + 2.0 ** -24


# -- the numbers ----------------------------------------------------------------------------------


def test_the_scores_are_those_of_the_network(explored):
    model, page = explored
    scores = model.forward(model.preprocess(picture()))[0]
    np.testing.assert_array_equal(page.maps["output"], scores)
    np.testing.assert_array_equal(decoded(page.data["mask"])[..., 0], model.predict(picture()))
    for pixel in page.pixels:
        assert pixel.score == scores[pixel.row, pixel.column].max()
        assert pixel.winner == scores[pixel.row, pixel.column].argmax()


def test_every_map_has_the_size_that_the_geometry_derives(explored):
    _, page = explored
    for down, across in zip(page.plans[0].steps, page.plans[1].steps):
        assert page.maps[down.name].shape[:2] == (down.grid.size, across.grid.size)


def test_sums_and_crops_join_the_cells_that_the_page_names(explored):
    _, page = explored
    for layer in page.data["layers"]:
        if layer["kind"] in ("sum", "crop"):
            parts = [page.maps[each["from"]][np.ix_([first for first, _ in each["rows"]],
                                                    [first for first, _ in each["columns"]])]
                     for each in layer["inputs"]]
            np.testing.assert_allclose(page.maps[layer["name"]], sum(parts), rtol=1e-12)


def test_the_page_holds_the_maps_to_three_digits_and_better(explored):
    _, page = explored
    for layer in page.data["layers"]:
        if layer["map"]:
            values = page.maps[layer["name"]][..., layer["channels"]]
            np.testing.assert_allclose(decoded(layer["map"]), values, rtol=half_a_bit(MAP_BITS))
    without = [layer["name"] for layer in page.data["layers"] if not layer["map"]]
    assert without == ["output"]        # which the page cuts out of the map before


@pytest.mark.parametrize("bits", [MAP_BITS, GRADIENT_BITS])
def test_numbers_are_rounded_to_the_bits_that_are_kept(bits):
    values = np.random.default_rng(1).normal(size=(50, 40)) * 10.0 ** np.arange(-20, 20)
    np.testing.assert_allclose(decoded(encoded(values, bits)), values, rtol=half_a_bit(bits))
    np.testing.assert_array_equal(decoded(encoded(np.array([0.0, 1, -2]), bits)), [0, 1, -2])


# -- what a cell depends on -----------------------------------------------------------------------


def positive(model):
    """Nothing is cut off by a ReLU, so every pixel of a receptive field makes itself felt."""
    for name in model.parameters:
        model.parameters[name] = np.abs(model.parameters[name]) + 0.01
    return model


def changed(passes, x, chosen, axis, index):
    """The layers of which the chosen cell changes with a row or column of the picture."""
    other = x.copy()
    other[(slice(None),) * (1 + axis) + (index,)] += 1e15     # felt through the smallest weights
    with minifcn.using("reference"):        # the fast engine's groups of cells round together
        passes.forward(other)
    return {name for name, (row, column, value) in chosen.items()
            if (passes.maps[name][row, column] != value).any()}


@pytest.mark.parametrize("stride,geometry", VARIANTS)
def test_receptive_fields_are_what_a_changed_pixel_changes(stride, geometry):
    """In every layer, for one cell of each, along rows and columns."""
    model = positive(network(stride, geometry))
    page = model.explore(picture(), pixels=[])
    passes, x = Passes(model, page.inputs), np.abs(model.preprocess(picture()))
    with minifcn.using("reference"):
        passes.forward(x)
    rng, chosen, fields = np.random.default_rng(stride), {}, {}
    for name, values in passes.maps.items():
        row, column = (int(rng.integers(extent)) for extent in values.shape[:2])
        chosen[name] = row, column, values[row, column].copy()
        fields[name] = page.influences(name, row, column).get("image")
    for axis, extent in enumerate(SIZE):
        for index in range(extent):
            expected = {name for name, field in fields.items()
                        if field and field[axis].first <= index <= field[axis].last}
            assert changed(passes, x, chosen, axis, index) == expected


def test_a_receptive_field_ends_after_404_pixels():
    """A picture wider than that: the ends of fields that lie inside."""
    model = positive(network(32))
    page = model.explore(picture((1, 480)), pixels=[])
    passes, x = Passes(model, page.inputs), np.abs(model.preprocess(picture((1, 480))))
    with minifcn.using("reference"):
        passes.forward(x)
    column = 7
    chosen = {"score_fr": (0, column, passes.maps["score_fr"][0, column].copy())}
    field = page.influences("score_fr", 0, column)["image"][1]
    assert field.last - field.first + 1 == 404
    for index in (field.first - 1, field.first, field.last, field.last + 1):
        inside = field.first <= index <= field.last
        assert changed(passes, x, chosen, 1, index) == ({"score_fr"} if inside else set())


def test_a_cell_of_the_padding_sees_nothing():
    page = network(geometry="caffe").explore(picture(), pixels=[], layers=[])
    assert set(page.influences("conv1_1", 0, 0)) == {"conv1_1"}
    assert "image" in page.influences("conv1_1", 99, 99)
    with pytest.raises(ValueError, match=r"row 219 is outside of conv1_1, which has 219 x 228"):
        page.influences("conv1_1", 219, 0)
    with pytest.raises(ValueError, match="there is no layer 'conv9'"):
        page.influences("conv9", 0, 0)


# -- gradients ------------------------------------------------------------------------------------


def bumped_score(model, x, name, place, bump, pixel):
    """The pixel's score after adding to one value of a map of the network."""
    x, layers = x.copy(), {layer.name: layer for layer in model.layers}
    inputs = inputs_of(plan(SIZE[0], model.stride, model.geometry))
    if name == "image":
        x[0][place] += bump
        return model.forward(x)[0, pixel.row, pixel.column, pixel.winner]
    into = next((each for each, sources in inputs.items() if sources == (name,)), None)
    layer = layers[into if name.startswith("fuse_") else name]
    forward = layer.forward

    def bumping(x, *options):
        if name.startswith("fuse_"):
            x[0][place] += bump
            return forward(x, *options)
        y = forward(x, *options)
        y[0][place] += bump
        return y

    layer.forward = bumping
    try:
        return model.forward(x)[0, pixel.row, pixel.column, pixel.winner]
    finally:
        del layer.forward


def smooth(page, name, values):
    """Where a map has no kink: over the picture, and with a value that occurs only once.

    Equal values tie in a pooling; beyond the picture, where all is padding, they all do.
    """
    if not name.startswith(("conv", "pool")) or name == "pool5":        # no pooling follows
        return np.ones(values.shape, bool)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    once = (counts[inverse].reshape(values.shape) == 1) | name.startswith("pool")
    over = [np.abs(grid.origin + grid.step * np.arange(grid.size) - (extent - 1) / 2) < extent / 2
            for grid, extent in zip([plan.after(name) for plan in page.plans], SIZE)]
    return once & np.outer(*over)[..., None]


def test_gradients_are_finite_differences(explored):
    """In the channel and cell of the largest gradient of every layer, and in a random one."""
    model, page = explored
    x, rng, bump = model.preprocess(picture()), np.random.default_rng(2), 1e-5
    unchecked = set(page.inputs) - {"output"}
    for pixel in page.pixels[:1]:
        for name, (channels, values) in pixel.gradients.items():
            if name == "output":
                assert values.sum() == values[pixel.row, pixel.column, pixel.winner] == 1
                continue
            chosen = smooth(page, name, page.maps[name][..., channels])
            if not chosen.any():
                continue
            unchecked.remove(name)
            for flat in (np.abs(values * chosen).argmax(), rng.choice(np.flatnonzero(chosen))):
                row, column, index = np.unravel_index(flat, values.shape)
                ends = [bumped_score(model, x, name, (row, column, channels[index]), sign * bump,
                                     pixel) for sign in (1, -1)]
                slope = (ends[0] - ends[1]) / (2 * bump)
                np.testing.assert_allclose(values[row, column, index], slope, rtol=1e-5, atol=1e-9)
    assert len(unchecked) <= 2


def test_the_page_holds_gradients_to_three_digits(explored):
    _, page = explored
    for pixel, written in zip(page.pixels, page.data["pixels"]):
        assert (written["row"], written["column"]) == (pixel.row, pixel.column)
        for name, gradient in pixel.gradients.items():
            np.testing.assert_allclose(decoded(written["gradients"][name]["map"]), gradient.values,
                                       rtol=half_a_bit(GRADIENT_BITS))


def test_gradients_hold_the_strongest_channels_of_every_layer(monkeypatch):
    monkeypatch.setattr(explorer, "GRADIENT_CELLS", 700)
    model = network(width=1 / 8)
    (pixel,) = model.explore(picture(), pixels=[(3, 3)], channels=5).pixels
    passes = Passes(model, inputs_of(plan(30, 8)))
    passes.forward(model.preprocess(picture()))
    passes.backward(3, 3, pixel.winner)
    for name, (channels, values) in pixel.gradients.items():
        measure = np.abs(passes.gradients[name]).sum(axis=(0, 1))
        assert min(measure[channels]) >= max(np.delete(measure, channels), default=0)
        np.testing.assert_array_equal(values, passes.gradients[name][..., channels])
    assert [len(pixel.gradients[name].channels) for name in ("conv1_1", "conv3_1", "score_fr")] \
        == [1, 5, 3]


def test_without_pixels_there_are_sixteen_spread_over_the_picture():
    model = network(32)
    page = model.explore(picture((40, 80)), layers=["score_fr"])
    assert [(p.row, p.column) for p in page.pixels] == \
        [(row, column) for row in (5, 15, 25, 35) for column in (10, 30, 50, 70)]
    assert len(model.explore(picture((1, 2))).pixels) == 2


# -- the page -------------------------------------------------------------------------------------


def test_the_network_is_left_as_it_was():
    model = network(dropout=0.5)
    before = {name: model.parameters[name].copy() for name in model.parameters}
    model.explore(picture())
    for name, values in before.items():
        np.testing.assert_array_equal(model.parameters[name], values)
    assert model.dropout_seed == 3 and all(layer.remembered is None for layer in model.layers)
    with pytest.raises(ValueError, match="no gradient yet"):
        model.gradients["score_fr.weight"]
    assert all("forward" not in vars(layer) for layer in model.layers)


def test_a_page_shows_itself_everywhere(explored, tmp_path):
    _, page = explored
    bundle = page._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert "<img" in bundle["text/html"]
    assert "receptive" not in bundle["text/plain"] and "score_fr" in bundle["text/plain"]
    winner = page.pixels[0]
    assert f"{winner.score:.4g}" in bundle["text/plain"]
    text = page.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<car>" not in text.split("application/json")[0] and "<option" not in text[:5000]
    assert not [word for word in ("http://", "src=\"/", "@import", "fetch(") if word in
                text.replace("http://www.w3.org/2000/svg", "")]


def test_fewer_layers_channels_and_pixels_make_a_smaller_page():
    model = network(width=1 / 8)
    whole = model.explore(picture((48, 48)))
    small = model.explore(picture((48, 48)), pixels=[(0, 0)], layers=["pool3", "score_pool3"])
    assert len(small._repr_html_()) < len(whole._repr_html_()) / 4
    assert [layer["name"] for layer in small.data["layers"] if layer["map"]] == \
        ["pool3", "score_pool3", "output"]
    assert set(small.maps) == set(whole.maps)


def test_what_does_not_fit_has_some_channels_and_no_products(monkeypatch):
    monkeypatch.setattr(explorer, "COMPLETE", 1500)
    page = network(width=1 / 8).explore(picture((32, 32)), channels=3)
    layers = {layer["name"]: layer for layer in page.data["layers"]}
    spread = page.maps["conv1_1"].std(axis=(0, 1))
    assert layers["conv1_1"]["channels"] == np.argsort(-spread)[:3].tolist()
    assert layers["conv5_1"]["weight"] is None and "weights" in layers["conv5_1"]["absent"]
    assert layers["score_fr"]["channels"] == [0, 1, 2]
    assert layers["upscore8"]["absent"] is None     # which is bilinear, and has all it needs


def test_the_page_of_the_demos_network_has_8_megabytes_at_most():
    model = network(width=1 / 8, fc_channels=64, dtype="float32")
    assert len(model.explore(picture((128, 128)))._repr_html_()) < 8e6


@pytest.mark.parametrize("options", [{"upsampling": "learned"}, {"at_once": True}])
def test_other_networks_have_what_their_products_need(options):
    page = network(**options).explore(picture(), pixels=[])
    layers = {layer["name"]: layer for layer in page.data["layers"]}
    up = decoded(layers["upscore2"]["weight"])
    assert up.shape == ((4, 4, 3, 3) if "upsampling" in options else (4, 4))
    assert layers["score_pool3"]["scale"] == (0.0001 if "at_once" in options else 1)


# -- mistakes -------------------------------------------------------------------------------------


def test_a_picture_too_large_is_told_which_piece_fits():
    for geometry, side in (("exact", 362), ("caffe", 164)):
        model = network(32, geometry)
        with pytest.raises(ValueError, match="at most 131,072: cut out a piece") as error:
            model.explore(np.zeros((500, 640, 3), np.uint8))
        image = np.zeros((500, 640, 3), np.uint8)
        piece = eval(str(error.value).split("such as ")[1], {"image": image})
        assert piece.shape == (side, side, 3)
        explorer.check_size([plan(side, 32, geometry)] * 2, piece.shape[:2])


@pytest.mark.parametrize("options,message", [
    ({"pixels": [(21, 0)]}, "row 21 is outside of output, which has 21 x 30 cells: 0 to 20"),
    ({"pixels": [(0, -1)]}, "column -1 is outside"),
    ({"layers": ["score_pool5"]}, "there is no layer 'score_pool5' in an FCN-8s; it has image, "),
    ({"channels": 0}, "channels is 0"),
])
def test_mistakes_are_said_in_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        network().explore(picture(), **options)


def test_broken_weights_are_found_where_they_begin():
    model = network()
    model.parameters["conv3_2.weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="conv3_2 holds NaN or infinity"):
        model.explore(picture())


def test_reads_are_the_windows_of_the_kernels():
    caffe, exact = plan(64, 8, "caffe"), plan(64)
    step = {step.name: step for step in exact.steps}
    assert reads(caffe, caffe.steps[1], "image", 0) == (-100, -98)
    assert reads(exact, step["pool1"], "conv1_2", 5) == (10, 11)
    assert [reads(exact, step["upscore8"], "fuse_pool3", i) for i in (3, 4, 11, 12)] == \
        [(-1, 0), (0, 1), (0, 1), (1, 2)]


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    network(16, dtype="float32").save(tmp_path / "fcn.safetensors")
    minifcn.VGG16(2, width=1 / 32, fc_channels=2).save(tmp_path / "vgg.safetensors")
    Image.fromarray(picture()).save(tmp_path / "street.png")
    (tmp_path / "old.safetensors").write_bytes(b"not a checkpoint")
    return tmp_path


def test_the_command_writes_a_page(files, capsys):
    out = files / "page.html"
    assert main(["explore", str(files / "fcn.safetensors"), str(files / "street.png"), "--out",
                 str(out), "--pixel", "3", "4", "--pixel", "0", "29"]) == 0
    assert str(out) in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert "FCN-16s" in text and "at row 3, column 4" in text and "at row 0, column 29" in text


@pytest.mark.parametrize("arguments,message", [
    (["vgg.safetensors", "street.png"], "VGG16"),
    (["old.safetensors", "street.png"], "safetensors"),
    (["fcn.safetensors", "fcn.safetensors"], "fcn.safetensors"),
    (["fcn.safetensors", "street.png", "--pixel", "30", "30"], "row 30 is outside"),
    (["fcn.safetensors", "street.png", "--out", "nowhere/page.html"], "no folder"),
])
def test_mistakes_on_the_command_line_take_one_line(files, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    assert main(["explore", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (files / "explorer.html").exists()
