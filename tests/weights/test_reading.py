"""Every format and every project's names: each number arrives in its place, with a report of it."""
import numpy as np
import pytest
from safetensors.numpy import save_file

import minifcn
from minifcn.weights import convert, inspect, open_weights
from minifcn.weights.catalogue import CATALOGUE, PREPROCESSINGS, published
from tests.weights import written

RGB, BGR, FCN_BGR = PREPROCESSINGS["torchvision"], PREPROCESSINGS["caffe-vgg"], \
    PREPROCESSINGS["caffe"]


@pytest.fixture(scope="module")
def vgg():
    return written.randomised(minifcn.VGG16(9, width=1 / 32, fc_channels=6))


def fcn_of(stride=8, classes=3, **options):
    return written.randomised(minifcn.FCN(stride, classes, "caffe", width=1 / 32, fc_channels=6,
                                          **options))


def numpy_dictionary(path, vgg):
    with open(path, "wb") as file:
        np.save(file, written.tensorflow_vgg(vgg), allow_pickle=True)
    return path


def safetensors(path, arrays, metadata=None):
    save_file(arrays, path, metadata)
    return path


CLASSIFIERS = {
    "torchvision": (lambda p, m: written.zip_pth(p, written.torchvision(m)), "pth", RGB),
    "torchvision, old": (lambda p, m: written.legacy_pth(p, written.torchvision(m)),
                         "legacy pth", RGB),
    "timm": (lambda p, m: safetensors(p, written.timm(m)), "safetensors", RGB),
    "caffe": (lambda p, m: written.caffemodel(p, written.torch_arrays(m)), "caffemodel", BGR),
    "caffe, V1, legacy dims": (lambda p, m: written.caffemodel(p, written.torch_arrays(m), True,
                                                               True), "caffemodel", BGR),
    "caffe, not packed": (lambda p, m: written.caffemodel(p, written.torch_arrays(m),
                                                          packed=False), "caffemodel", BGR),
    "keras": (lambda p, m: written.keras(p, m), "h5", BGR),
    "keras, newer names": (lambda p, m: written.keras(p, m, old_names=False), "h5", BGR),
    "tensorflow-vgg": (numpy_dictionary, "npy", BGR),
}


def same_parameters(got, expected):
    assert set(got.parameters) == set(expected.parameters)
    for name in expected.parameters:
        np.testing.assert_array_equal(got.parameters[name], expected.parameters[name], name)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifiers(tmp_path, vgg, kind):
    write, form, preprocessing = CLASSIFIERS[kind]
    path = write(tmp_path / "no-suffix", vgg)
    assert open_weights(path).format == form
    model, report = convert(path)
    same_parameters(model, vgg)
    assert isinstance(model, minifcn.VGG16) and model.classes == 9
    assert model.preprocessing == preprocessing
    assert len(report.copied) == 32 and not (report.initial or report.folded or report.left_out)
    assert preprocessing.order in str(report)
    found = inspect(path)
    assert found.network.startswith("VGG16, 9 classes") and not found.missing
    assert [row[3] for row in found.tensors if row[3] == "fc6.weight"]


@pytest.mark.parametrize("kind", ["pth", "legacy pth", "npz", "deflated npz", "caffemodel",
                                  "V1 caffemodel", "safetensors"])
@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("upsampling", ["frozen", "learned"])
def test_fcns(tmp_path, stride, upsampling, kind):
    original = fcn_of(stride, upsampling=upsampling)
    if upsampling == "learned":
        for name in written.UPSCORES[stride]:
            original.parameters[f"{name}.weight"][0, 1, 2, 0] += 0.5
    arrays, path = written.pytorch_fcn(original), tmp_path / "weights.npz"
    if "npz" in kind:
        (np.savez if kind == "npz" else np.savez_compressed)(path, **written.chainer(original))
    elif "caffemodel" in kind:
        written.caffemodel(path, arrays, kind.startswith("V1"), kind.startswith("V1"))
    elif kind == "safetensors":
        safetensors(path, arrays)
    else:
        (written.zip_pth if kind == "pth" else written.legacy_pth)(path, arrays)
    model, report = convert(path)
    same_parameters(model, original)
    assert model.config == {**original.config, "seed": None}
    assert model.preprocessing == FCN_BGR
    bilinear = [line for line in report.left_out if "bilinear" in line]
    assert len(bilinear) == (len(written.UPSCORES[stride]) if upsampling == "frozen" else 0)


def test_names_and_colours_of_voc(tmp_path):
    path = written.zip_pth(tmp_path / "a.pth", written.pytorch_fcn(fcn_of(32, 21)))
    model, _ = convert(path)
    assert model.class_names[:2] == ["background", "aeroplane"] and len(model.class_names) == 21


def test_a_checkpoint_of_ours_is_taken_as_it_is(tmp_path, vgg):
    vgg.save(tmp_path / "a.safetensors")
    model, report = convert(tmp_path / "a.safetensors")
    same_parameters(model, vgg)
    assert "a checkpoint of minifcn" in str(report)
    assert "a checkpoint of minifcn: VGG16" in inspect(tmp_path / "a.safetensors").network
    with pytest.raises(ValueError, match="says itself"):
        convert(tmp_path / "a.safetensors", geometry="exact")


def test_half_and_double_become_float32(tmp_path):
    original = fcn_of(32)
    for dtype in (np.float16, np.float64):
        arrays = {name: array.astype(dtype)
                  for name, array in written.pytorch_fcn(original).items()}
        model, _ = convert(written.zip_pth(tmp_path / f"{dtype.__name__}.pth", arrays))
        assert model.dtype == np.float32
        np.testing.assert_array_equal(model.parameters["fc6.weight"],
                                      original.parameters["fc6.weight"].astype(dtype).astype("f4"))


def test_data_parallel_and_chainers_biases(tmp_path):
    original = fcn_of(16)
    arrays = {f"module.{name}": array for name, array in written.pytorch_fcn(original).items()}
    same_parameters(convert(written.zip_pth(tmp_path / "a.pth", arrays))[0], original)
    arrays = written.chainer(original)
    arrays["upscore2/b"] = np.zeros(3, np.float32)
    np.savez(tmp_path / "a.npz", **arrays)
    model, report = convert(tmp_path / "a.npz")
    same_parameters(model, original)
    assert "upscore2/b (a bias of zeros)" in report.left_out
    arrays["upscore2/b"] += 1
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(ValueError, match="upscore2/b belongs to no layer"):
        convert(tmp_path / "b.npz")


def test_scale_layers_of_at_once(tmp_path):
    original = fcn_of(at_once=True)
    arrays = written.pytorch_fcn(original)

    def convolved(factor4, factor3, **options):
        scales = {"scale_pool4": np.full(16, factor4, np.float32),
                  "scale_pool3": np.full(8, factor3, np.float32)}
        return convert(written.caffemodel(tmp_path / "a", arrays, scales=scales), **options)

    model, report = convolved(0.01, 0.0001)
    same_parameters(model, original)
    assert model.config["at_once"] and len(report.left_out) == 5 and not report.folded
    x = np.random.default_rng(0).standard_normal((1, 40, 50, 3)).astype(np.float32)
    # other factors, or none in the network: the weights take them over
    model, report = convolved(0.02, 0.0001)
    assert report.folded == ["scale_pool4[0] into score_pool4.weight"]
    np.testing.assert_allclose(model.parameters["score_pool4.weight"],
                               2 * original.parameters["score_pool4.weight"], rtol=1e-6)
    model, report = convolved(0.01, 0.0001, at_once=False)
    assert not model.config["at_once"] and len(report.folded) == 2
    np.testing.assert_allclose(model.forward(x), original.forward(x), rtol=1e-4, atol=1e-5)


def test_at_once_told_by_the_name_or_by_hand(tmp_path):
    arrays = written.pytorch_fcn(fcn_of())
    for name, told, expected in (("fcn8s_from_caffe.pth", None, False),
                                 ("fcn8s-atonce_from_caffe.pth", None, True),
                                 ("a.pth", True, True)):
        model, _ = convert(written.zip_pth(tmp_path / name, arrays), at_once=told)
        assert model.config["at_once"] == expected


def test_preprocessing_told_by_the_name_by_hand_or_by_the_checksum(tmp_path, vgg, monkeypatch):
    arrays = written.torchvision(vgg)
    model, report = convert(written.legacy_pth(tmp_path / "vgg16_from_caffe.pth", arrays))
    assert model.preprocessing == BGR and "by the name of the file" in str(report)
    path = written.legacy_pth(tmp_path / "a.pth", arrays)
    model, report = convert(path)
    assert model.preprocessing == RGB and "--preprocessing caffe-vgg" in str(report)
    assert convert(path, preprocessing="caffe-vgg")[0].preprocessing == BGR
    import hashlib
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(CATALOGUE, "vgg16-pytorch-fcn",
                        CATALOGUE["vgg16-pytorch-fcn"]._replace(checksum=f"md5:{digest}"))
    assert published(path).file == "vgg16_from_caffe.pth"
    model, report = convert(path)
    assert model.preprocessing == BGR and "by its checksum" in str(report)
    with pytest.raises(ValueError, match="no preprocessing 'vgg'"):
        convert(path, preprocessing="vgg")


# -- what is not whole ---------------------------------------------------------------------------


def test_keras_without_top(tmp_path, vgg):
    path = written.keras(tmp_path / "notop.h5", vgg, top=False)
    with pytest.raises(ValueError, match=r"fc6\.weight; fc6\.bias; fc7\.weight; fc7\.bias, and 2 "
                                         r"more are missing.*segments badly.*--partial"):
        convert(path)
    assert "fc6.weight" in inspect(path).missing
    model, report = convert(path, partial=True)
    np.testing.assert_array_equal(model.parameters["conv5_3.weight"],
                                  vgg.parameters["conv5_3.weight"])
    assert model.parameters["fc6.weight"].any() and report.initial == [
        "fc6.weight", "fc6.bias", "fc7.weight", "fc7.bias", "fc8.weight", "fc8.bias"]
    with pytest.raises(ValueError, match="missing"):
        minifcn.FCN.from_vgg16(path, classes=3)
    fcn = minifcn.FCN.from_vgg16(path, classes=3, partial=True)
    assert fcn.parameters["fc6.weight"].any()


def test_nan_in_the_classifier(tmp_path, vgg):
    arrays = written.torchvision(vgg)
    arrays["classifier.0.weight"][3, 5] = np.nan
    arrays["classifier.3.bias"][:] = np.inf
    path = written.legacy_pth(tmp_path / "vgg16_features-amdegroot.pth", arrays)
    with pytest.raises(ValueError, match=r"fc6, fc7 \(classifier\.0\.weight; classifier\.3\.bias\) "
                                         "hold NaN or infinite.*--partial"):
        convert(path)
    model, report = convert(path, partial=True)
    assert np.isfinite(model.parameters["fc6.weight"]).all()
    assert set(report.initial) == {"fc6.weight", "fc7.bias"}
    assert "classifier.0.weight (NaN)" in report.left_out
    assert model.preprocessing == PREPROCESSINGS["amdegroot"]


def test_missing_and_surplus_tensors(tmp_path):
    arrays = written.pytorch_fcn(fcn_of())
    del arrays["score_pool3.bias"]
    with pytest.raises(ValueError, match=r"score_pool3\.bias is missing"):
        convert(written.zip_pth(tmp_path / "a.pth", arrays))
    arrays = written.pytorch_fcn(fcn_of())
    arrays["score_pool2.weight"] = np.zeros((3, 4, 1, 1), np.float32)
    path = written.zip_pth(tmp_path / "b.pth", arrays)
    with pytest.raises(ValueError, match=r"score_pool2\.weight belongs to no layer"):
        convert(path)
    assert inspect(path).unknown == ["score_pool2.weight"]
    _, report = convert(path, partial=True)
    assert "score_pool2.weight (belongs to no layer of FCN-8s)" in report.left_out


def test_shapes_that_contradict_each_other(tmp_path):
    arrays = written.pytorch_fcn(fcn_of())
    arrays["fc7.weight"] = arrays["fc7.weight"][:, :4].copy()
    with pytest.raises(ValueError, match=r"fc7\.weight has shape \(6, 4, 1, 1\)"):
        convert(written.zip_pth(tmp_path / "a.pth", arrays))
    arrays = written.pytorch_fcn(fcn_of())
    arrays["conv3_1.weight"] = arrays["conv3_1.weight"][:3].copy()
    with pytest.raises(ValueError, match="have 2, 4, 3, 16, 16 channels"):
        convert(written.zip_pth(tmp_path / "b.pth", arrays))


# -- other networks: which one it is -------------------------------------------------------------


def convolutions(*places):
    return {f"features.{place}.weight": np.zeros((4, 3, 3, 3), np.float32) for place in places}


@pytest.mark.parametrize("arrays, title", [
    (convolutions(0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
     | {"features.1.running_mean": np.zeros(4, np.float32)}, "vgg16_bn"),
    (convolutions(0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34), "VGG19"),
    (convolutions(0, 2, 5, 7, 10, 12, 15, 17, 20, 22), "VGG13"),
    (convolutions(0, 3, 6, 8, 11, 13, 16, 18), "VGG11"),
    ({"features.0.weight": np.zeros((64, 3, 11, 11), np.float32)}, "AlexNet"),
    ({f"layer3.{i}.conv1.weight": np.zeros((4, 3, 1, 1), np.float32) for i in range(6)}
     | {"layer3.0.conv3.weight": np.zeros((4, 3, 1, 1), np.float32)}, "resnet50"),
    ({f"backbone.layer3.{i}.conv1.weight": np.zeros((4, 3, 1, 1), np.float32) for i in range(23)}
     | {"classifier.4.weight": np.zeros((21, 3, 1, 1), np.float32)}, "fcn_resnet101_coco"),
    ({"inc.double_conv.0.weight": np.zeros((4, 3, 3, 3), np.float32)}, "U-Net"),
    ({"stem.weight": np.zeros((4, 3, 3, 3), np.float32)}, r"with tensors such as stem\.weight"),
])
def test_other_networks(tmp_path, arrays, title):
    path = written.zip_pth(tmp_path / "a.pth", arrays)
    with pytest.raises(ValueError, match=title):
        convert(path)
    assert inspect(path).network and len(inspect(path).tensors) == len(arrays)


# -- from a classifier to training ---------------------------------------------------------------


def test_from_vgg16_is_the_classifier_as_convolutions(tmp_path, vgg):
    path = written.legacy_pth(tmp_path / "vgg16-397923af.pth", written.torchvision(vgg))
    model = minifcn.FCN.from_vgg16(path, stride=16, classes=4, seed=7)
    trunk = minifcn.convolutionalize(vgg)
    for name in model.parameters:
        if name.startswith("score"):
            assert not model.parameters[name].any()
        else:
            np.testing.assert_array_equal(model.parameters[name], trunk.parameters[name])
    assert model.stride == 16 and model.classes == 4 and model.preprocessing == RGB
    vgg.save(tmp_path / "ours.safetensors")
    again = minifcn.FCN.from_vgg16(tmp_path / "ours.safetensors", stride=16, classes=4)
    same_parameters(again, model)
    with pytest.raises(ValueError, match=r"has width 0\.03125, not 1"):
        minifcn.FCN.from_vgg16(path, width=1)
    path = written.zip_pth(tmp_path / "fcn.pth", written.pytorch_fcn(fcn_of()))
    with pytest.raises(ValueError, match=r"holds a FCN-8s.* not a VGG16 classifier"):
        minifcn.FCN.from_vgg16(path)
