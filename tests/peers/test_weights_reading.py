"""Files that other programs wrote, read here: and the networks in them compute the same."""
import warnings

import numpy as np
import pytest

import minifcn
from minifcn.weights import convert
from tests.weights import written

torch = pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")
pytest.importorskip("google.protobuf")

from torch.nn import functional as F  # noqa: E402

from tests.peers import caffe_proto, twin  # noqa: E402
from tests.peers.test_networks import images, network, relative_error  # noqa: E402

pytestmark = pytest.mark.peers

VARIANTS = [(32, False), (16, False), (8, False), (8, True)]
SIZES = [(64, 64), (37, 53), (1, 1), (101, 80), (130, 33)]


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def nhwc(y):
    return np.ascontiguousarray(np.asarray(y).transpose(0, 2, 3, 1))


# -- Caffe -----------------------------------------------------------------------------------------


def in_opencv(folder, model, sizes, old, legacy):
    """Scores of OpenCV's Caffe importer for a prototxt and a caffemodel made with protobuf."""
    arrays = written.pytorch_fcn(model)
    config = model.config
    scales = {} if not config["at_once"] else {
        f"scale_pool{pool}": np.full(model.parameters[f"score_pool{pool}.weight"].shape[2], value,
                                     np.float32) for pool, value in ((4, 0.01), (3, 0.0001))}
    binary = folder / "fcn.caffemodel"
    binary.write_bytes(caffe_proto.net(arrays, old, legacy, scales).SerializeToString())
    text = folder / "fcn.prototxt"
    text.write_text(caffe_proto.prototxt(model.stride, config["classes"], config["width"],
                                         config["fc_channels"], config["at_once"]))
    net = cv2.dnn.readNetFromCaffe(str(text), str(binary))
    results = []
    for h, w in sizes:
        x = images((1, h, w), "float32")
        net.setInput(nchw(x))
        results.append((x, nhwc(net.forward("score"))))
    return binary, results


@pytest.mark.parametrize("old, legacy", [(False, False), (True, True)])
@pytest.mark.parametrize("stride, at_once", VARIANTS)
@pytest.mark.parametrize("upsampling", ["frozen", "learned"])
def test_caffemodels_compute_as_in_opencv(tmp_path, stride, at_once, upsampling, old, legacy):
    if old and at_once:
        pytest.skip("Scale layers are younger than the old format")
    original = network(stride, "caffe", upsampling, at_once, "float32")
    binary, results = in_opencv(tmp_path, original, SIZES, old, legacy)
    model, report = convert(binary)
    assert model.config == {**original.config, "seed": None, "dropout": 0.5}
    assert len(report.copied) == len(model.parameters) and not report.initial
    assert model.preprocessing == minifcn.Preprocessing.caffe()
    for x, expected in results:
        assert relative_error(model.forward(x), expected) < 1e-4, x.shape


def test_a_caffemodel_of_full_width(tmp_path):
    original = minifcn.FCN(8, 21, "caffe", seed=5)
    rng = np.random.default_rng(0)
    for name in original.parameters:
        if name.startswith("score") or name.endswith("bias"):
            original.parameters[name] = 0.1 * rng.random(original.parameters[name].shape)
    binary, results = in_opencv(tmp_path, original, [(33, 50), (64, 64)], False, False)
    del original
    model, _ = convert(binary)
    for x, expected in results:
        assert relative_error(model.forward(x), expected) < 1e-4


# -- PyTorch ---------------------------------------------------------------------------------------


def tensors(arrays):
    return {name: torch.tensor(array) for name, array in arrays.items()}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("stride, at_once", VARIANTS)
def test_pytorch_fcn(tmp_path, stride, at_once, zipped):
    original = network(stride, "caffe", "learned", at_once, "float32")
    state = tensors(written.pytorch_fcn(original))
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}},
                 "param_groups": [{"lr": 1e-10, "momentum": 0.99, "params": [0]}]}
    for name, value in (("fcn.pth", state), ("checkpoint.pth", {
            "epoch": 3, "arch": "FCN", "model_state_dict": state, "optim_state_dict": optimizer,
            "best_mean_iu": np.float64(0.5)})):
        torch.save(value, tmp_path / name, _use_new_zipfile_serialization=zipped)
        model, _ = convert(tmp_path / name, at_once=at_once)
        for h, w in SIZES:
            x = images((1, h, w), "float32")
            with torch.no_grad():
                expected = twin.scores(original.config, state, torch.tensor(nchw(x)))
            assert relative_error(model.forward(x), nhwc(expected)) < 1e-4


def classifier(seed=3):
    return written.randomised(minifcn.VGG16(10, width=1 / 16, fc_channels=24), seed)


def convolutions(x, weights):
    """The trunk, in PyTorch, on weights out, in, h, w."""
    y = torch.tensor(nchw(x))
    for stage, count in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, count + 1):
            name = f"conv{stage}_{number}"
            y = F.relu(F.conv2d(y, torch.tensor(weights[f"{name}.weight"]),
                                torch.tensor(weights[f"{name}.bias"]), padding=1))
        y = F.max_pool2d(y, 2, 2)
    return y


def torch_logits(x, weights):
    """VGG16's scores with features flattened in c, h, w order."""
    y = convolutions(x, weights).flatten(1)
    for name in ("fc6", "fc7"):
        y = F.relu(F.linear(y, torch.tensor(weights[f"{name}.weight"]),
                            torch.tensor(weights[f"{name}.bias"])))
    return F.linear(y, torch.tensor(weights["fc8.weight"]),
                    torch.tensor(weights["fc8.bias"])).numpy()


@pytest.mark.parametrize("form", ["zip", "legacy", "timm", "caffemodel", "float16", "bfloat16"])
def test_classifiers_flattened_as_pytorch_and_caffe_do(tmp_path, form):
    original = classifier()
    weights = written.torch_arrays(original)
    path, tolerance = tmp_path / "weights", 1e-5
    if form in ("zip", "legacy"):
        torch.save(tensors(written.torchvision(original)), path,
                   _use_new_zipfile_serialization=form == "zip")
    elif form in ("float16", "bfloat16"):
        kind, tolerance = getattr(torch, form), 0.05
        torch.save({name: tensor.to(kind) for name, tensor in
                    tensors(written.torchvision(original)).items()}, path)
    elif form == "timm":
        from safetensors.torch import save_file
        save_file(tensors(written.timm(original)), path)
    else:
        path.write_bytes(caffe_proto.net(weights, True, True).SerializeToString())
    model, _ = convert(path)
    x = images((2, 224, 224), "float32")
    assert relative_error(model.forward(x), torch_logits(x, weights)) < tolerance
    fcn = minifcn.FCN.from_vgg16(path, stride=32, classes=4)
    assert fcn.preprocessing == model.preprocessing
    assert not fcn.parameters["score_fr.weight"].any()


def test_published_classes_of_pytorch_are_what_they_are_called(tmp_path):
    """Other state dicts of PyTorch: which network it is, in words."""
    layers = [torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.BatchNorm2d(64)]
    model = torch.nn.ModuleDict({"features": torch.nn.Sequential(*layers)})
    torch.save(model.state_dict(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="batch normalisation"):
        convert(tmp_path / "a.pth")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "b.pth")
    with pytest.raises(ValueError, match=r"asks for torch\.nn\.modules\.linear\.Linear.*nothing of"
                                         " it was run"):
        convert(tmp_path / "b.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")         # a way of PyTorch's that is going out
        torch.jit.script(torch.nn.Linear(2, 3)).save(str(tmp_path / "c.pth"))
    with pytest.raises(ValueError, match="TorchScript"):
        convert(tmp_path / "c.pth")


# -- Chainer, Keras, tensorflow-vgg ----------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("stride, at_once", VARIANTS)
def test_chainer(tmp_path, stride, at_once, save):
    original = network(stride, "caffe", "learned", at_once, "float32")
    name = f"fcn{stride}s{'-atonce' * at_once}_from_caffe.npz"
    arrays = written.chainer(original)
    for layer in written.UPSCORES[stride]:      # its Deconvolution2D has a bias
        arrays[f"{layer}/b"] = np.zeros(original.classes, np.float32)
    save(tmp_path / name, **arrays)
    model, _ = convert(tmp_path / name)
    assert model.config["at_once"] == at_once
    weights = tensors(written.pytorch_fcn(original))
    for h, w in SIZES:
        x = images((1, h, w), "float32")
        expected = twin.scores(original.config, weights, torch.tensor(nchw(x)))
        assert relative_error(model.forward(x), nhwc(expected)) < 1e-4


@pytest.mark.parametrize("form", ["old h5", "new h5", "npy"])
def test_classifiers_flattened_as_tensorflow_does(tmp_path, form):
    original = classifier()
    ours = {name: original.parameters[name].copy() for name in original.parameters}
    path = tmp_path / "weights"
    if form == "npy":
        with open(path, "wb") as file:
            np.save(file, written.tensorflow_vgg(original), allow_pickle=True)
    else:
        written.keras(path, original, old_names=form == "old h5")
    model, _ = convert(path)
    assert model.preprocessing == minifcn.Preprocessing.caffe_vgg()
    x = images((2, 224, 224), "float32")
    y = convolutions(x, written.torch_arrays(original)).permute(0, 2, 3, 1).flatten(1).numpy()
    for name in ("fc6", "fc7"):
        y = np.maximum(y @ ours[f"{name}.weight"] + ours[f"{name}.bias"], 0)
    y = y @ ours["fc8.weight"] + ours["fc8.bias"]
    assert relative_error(model.forward(x), y) < 1e-5
