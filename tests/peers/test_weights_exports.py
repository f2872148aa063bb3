"""What we write, run by other programs: PyTorch, ONNX Runtime, OpenVINO and OpenCV."""
import importlib.util
import itertools

import numpy as np
import pytest

import minifcn
from minifcn.weights import convert, export

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")
cv2 = pytest.importorskip("cv2")

from tests.peers import twin  # noqa: E402
from tests.peers.test_networks import images, network, relative_error  # noqa: E402

pytestmark = pytest.mark.peers

VARIANTS = [(32, False), (16, False), (8, False), (8, True)]
NETWORKS = list(itertools.product(VARIANTS, ("exact", "caffe"), ("frozen", "learned")))
SIZES = [(2, 64, 64), (1, 37, 53), (1, 101, 80), (3, 130, 33)]
SMALL = [(1, 1, 1), (2, 7, 3)]


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def nhwc(y):
    return np.ascontiguousarray(np.asarray(y).transpose(0, 2, 3, 1))


def made(variant, geometry, upsampling, preprocessing=None):
    stride, at_once = variant
    model = network(stride, geometry, upsampling, at_once, "float32")
    model.preprocessing = preprocessing or minifcn.Preprocessing.caffe()
    return model


def pictures(n, h, w, seed=2):
    return np.random.default_rng(seed).integers(0, 256, (n, h, w, 3)).astype(np.uint8)


def in_onnxruntime(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    return session.run([result.name], {given.name: x})[0]


class OpenVINO:
    def __init__(self, path):
        core = openvino.Core()
        self.run = core.compile_model(core.read_model(str(path)), "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})

    def __call__(self, x):
        return self.run([x])[self.run.output(0)]


def script(path):
    specification = importlib.util.spec_from_file_location("exported", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("variant, geometry, upsampling", NETWORKS)
def test_onnx_at_any_size_and_batch(tmp_path, variant, geometry, upsampling):
    model = made(variant, geometry, upsampling)
    path = tmp_path / "fcn.onnx"
    assert "opset 17" in export(model, "onnx", path)
    run = OpenVINO(path)
    for shape in [*SIZES, *SMALL]:
        x = images(shape, "float32")
        expected = model.forward(x)
        assert relative_error(nhwc(in_onnxruntime(path, nchw(x))), expected) < 1e-4, shape
        if shape in SIZES:
            assert relative_error(nhwc(run(nchw(x))), expected) < 1e-4, shape


@pytest.mark.parametrize("preprocessing", [minifcn.Preprocessing.imagenet(),
                                           minifcn.Preprocessing.caffe()])
@pytest.mark.parametrize("half", [False, True])
def test_onnx_from_pictures_to_masks(tmp_path, preprocessing, half):
    model = made((8, False), "exact", "frozen", preprocessing)
    export(model, "onnx", tmp_path / "a.onnx", half, preprocessing=True, argmax=True)
    export(model, "onnx", tmp_path / "b.onnx", half, preprocessing=True)
    if half:
        model.save(tmp_path / "half.safetensors", half=True)
        model = minifcn.load(tmp_path / "half.safetensors")
    run = OpenVINO(tmp_path / "a.onnx")
    for n, h, w in SIZES:
        x = pictures(n, h, w)
        expected = model.predict(list(x))
        scores = nhwc(in_onnxruntime(tmp_path / "b.onnx", x))
        assert relative_error(scores, model.forward(model.preprocessing.apply(x))) < 1e-4
        for mask in (in_onnxruntime(tmp_path / "a.onnx", x), run(x)):
            assert mask.dtype == np.uint8 and mask.shape == (n, h, w)
            assert (mask == np.stack(expected)).mean() > 0.999      # ties within rounding
    sizes = [(tmp_path / name).stat().st_size for name in ("a.onnx",)]
    count = sum(array.size for array in model.parameters.values())
    assert sizes[0] < count * (2.1 if half else 4.1) + 20_000


@pytest.mark.parametrize("variant, geometry, upsampling", NETWORKS)
def test_pytorch_runs_the_file_that_is_written(tmp_path, variant, geometry, upsampling):
    model = made(variant, geometry, upsampling)
    export(model, "torch", tmp_path / "fcn.pth")
    module = script(tmp_path / "fcn.py")
    net = module.load()
    for shape in [*SIZES, *SMALL]:
        x = images(shape, "float32")
        with torch.no_grad():
            got = net(torch.tensor(nchw(x)))
        assert relative_error(nhwc(got), model.forward(x)) < 1e-4, shape
    picture = pictures(1, 50, 61)[0]
    assert (module.predict(net, picture).numpy() == model.predict(picture)).mean() > 0.999
    export(model, "torch", tmp_path / "half.pth", half=True)
    state = torch.load(tmp_path / "half.pth", weights_only=True)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    script(tmp_path / "half.py").load()


class PyTorchFCN8s(torch.nn.Module):
    """The layers of pytorch-fcn's FCN8s, narrower: names, shapes, and that bias is False."""

    def __init__(self, width, fc_channels, classes):
        super().__init__()
        c_in = 3
        for stage, (channels, count) in enumerate(
                ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
            for number in range(1, count + 1):
                c_out = round(channels * width)
                setattr(self, f"conv{stage}_{number}", torch.nn.Conv2d(c_in, c_out, 3))
                c_in = c_out
        self.fc6 = torch.nn.Conv2d(c_in, fc_channels, 7)
        self.fc7 = torch.nn.Conv2d(fc_channels, fc_channels, 1)
        self.score_fr = torch.nn.Conv2d(fc_channels, classes, 1)
        self.score_pool3 = torch.nn.Conv2d(round(256 * width), classes, 1)
        self.score_pool4 = torch.nn.Conv2d(round(512 * width), classes, 1)
        for name, kernel in (("upscore2", 4), ("upscore8", 16), ("upscore_pool4", 4)):
            setattr(self, name, torch.nn.ConvTranspose2d(classes, classes, kernel, bias=False))


def test_state_dicts_have_pytorch_fcns_names(tmp_path):
    model = made((8, False), "caffe", "frozen")
    export(model, "torch", tmp_path / "fcn.pth")
    state = torch.load(tmp_path / "fcn.pth", weights_only=True)
    PyTorchFCN8s(1 / 16, 24, 5).load_state_dict(state, strict=True)
    x = images((1, 37, 53), "float32")
    expected = twin.scores(model.config, state, torch.tensor(nchw(x)))
    assert relative_error(model.forward(x), nhwc(expected)) < 1e-4


@pytest.mark.parametrize("variant, geometry, upsampling", NETWORKS)
def test_opencv_runs_what_is_written_for_caffe(tmp_path, variant, geometry, upsampling):
    model = made(variant, geometry, upsampling)
    export(model, "caffe", tmp_path / "fcn.caffemodel")
    net = cv2.dnn.readNetFromCaffe(str(tmp_path / "fcn.prototxt"), str(tmp_path / "fcn.caffemodel"))
    for _, h, w in SIZES:
        x = images((1, h, w), "float32")
        net.setInput(nchw(x))
        assert relative_error(nhwc(net.forward("score")), model.forward(x)) < 1e-4, (h, w)


@pytest.mark.parametrize("variant, geometry, upsampling", NETWORKS)
def test_safetensors_in_pytorchs_layout_and_back(tmp_path, variant, geometry, upsampling):
    from safetensors.torch import load_file

    model = made(variant, geometry, upsampling)
    export(model, "safetensors", tmp_path / "fcn.safetensors")
    state = load_file(tmp_path / "fcn.safetensors")
    x = images((1, 37, 53), "float32")
    expected = twin.scores(model.config, state, torch.tensor(nchw(x)))
    assert relative_error(model.forward(x), nhwc(expected)) < 1e-4
    again, _ = convert(tmp_path / "fcn.safetensors")
    np.testing.assert_array_equal(again.forward(x), model.forward(x))
    assert again.preprocessing == model.preprocessing


def test_the_whole_path_gives_the_same_mask(tmp_path, monkeypatch):
    """fetch from a server, convert, predict, export, and ONNX Runtime: on the command line."""
    import hashlib

    from PIL import Image

    from minifcn.cli import main
    from tests.weights import written
    from tests.weights.server import serving

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIFCN_CACHE", str(tmp_path / "cache"))
    original = network(8, "caffe", "frozen", False, "float32")
    source = written.caffemodel(tmp_path / "served", written.pytorch_fcn(original))
    picture = pictures(1, 75, 101)[0]
    Image.fromarray(picture).save("photo.png")
    with serving(source.read_bytes()) as (address, _):
        (tmp_path / "table.toml").write_text(
            f'[our-fcn8s]\nfile = "fcn8s-heavy-pascal.caffemodel"\naddresses = ["{address}"]\n'
            f'checksum = "sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"\n')
        assert main(["fetch", "our-fcn8s", "--table", "table.toml"]) == 0
    fetched = "cache/our-fcn8s/fcn8s-heavy-pascal.caffemodel"
    for command in (["convert", fetched, "--to", "street.safetensors"],
                    ["predict", "street.safetensors", "photo.png", "--out", "masks"],
                    ["export", "street.safetensors", "--to", "onnx", "--out", "street.onnx",
                     "--preprocess", "--argmax"]):
        assert main(command) == 0
    mask = np.array(Image.open("masks/photo.png"))
    assert len(np.unique(mask)) > 1
    np.testing.assert_array_equal(in_onnxruntime("street.onnx", picture[None])[0], mask)
