"""convert, inspect, export and train --vgg16 on the command line, and the files that they write."""
import json

import numpy as np
import pytest
from PIL import Image

import minifcn
from minifcn.cli import main
from minifcn.weights import convert, export
from tests.weights import written


def fails(capsys, *arguments):
    """The one line of a command that ends with exit code 2."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    assert code == 2 and captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.fixture
def fcn():
    return written.randomised(minifcn.FCN(8, 3, "caffe", width=1 / 32, fc_channels=6))


def test_convert_and_inspect(tmp_path, capsys, fcn):
    source = written.caffemodel(tmp_path / "fcn8s.caffemodel", written.pytorch_fcn(fcn))
    out = tmp_path / "street.safetensors"
    assert main(["convert", str(source), "--to", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "copied (36)" in shown and "left out: upscore2[0] (the bilinear kernel" in shown
    assert "BGR" in shown and "FCN-8s, caffe geometry" in shown
    model = minifcn.load(out)
    np.testing.assert_array_equal(model.parameters["fc6.weight"], fcn.parameters["fc6.weight"])
    assert model.preprocessing == minifcn.Preprocessing.caffe()
    assert main(["convert", str(source), "--to", str(tmp_path / "half.safetensors"), "--half",
                 "--geometry", "exact", "--quiet"]) == 0
    assert not capsys.readouterr().out
    assert minifcn.load(tmp_path / "half.safetensors").geometry == "exact"
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * out.stat().st_size
    assert main(["inspect", str(source)]) == 0
    shown = capsys.readouterr().out
    assert "FCN-8s, 3 classes, width 0.03125, names of the paper" in shown
    assert "conv1_1[0]" in shown and "2x3x3x3" in shown and "float32" in shown
    assert main(["inspect", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["network"].startswith("a checkpoint of minifcn: FCN-8s")
    assert len(found["tensors"]) == 36


def test_mistakes_take_one_line(tmp_path, capsys, fcn):
    source = written.zip_pth(tmp_path / "a.pth", written.pytorch_fcn(fcn))
    assert "there is no folder" in fails(capsys, "convert", source, "--to", tmp_path / "no" / "b")
    assert "no such file" in fails(capsys, "inspect", tmp_path / "b.pth")
    assert "did you mean vgg16-caffe" in fails(capsys, "convert", "vgg16-cafe", "--to", "x")
    written.zip_pth(tmp_path / "b.pth", {"x.weight": np.zeros((2, 2), np.float32)})
    assert "not VGG16" in fails(capsys, "convert", tmp_path / "b.pth", "--to", tmp_path / "c")
    assert not (tmp_path / "c").exists()
    fcn.parameters["fc6.bias"][0] = 1e5
    fcn.save(tmp_path / "large.safetensors")
    assert "fc6.bias holds 100000" in fails(capsys, "export", tmp_path / "large.safetensors",
                                            "--to", "onnx", "--out", tmp_path / "a", "--half")
    for options, message in ((["--to", "caffe", "--half"], "no float16"),
                             (["--to", "torch", "--argmax"], "ONNX only"),
                             (["--to", "safetensors", "--preprocess"], "ONNX only")):
        assert message in fails(capsys, "export", "streets-8s", "--out", tmp_path / "a", *options)
    assert "give the name of the state dict" in fails(
        capsys, "export", "streets-8s", "--to", "torch", "--out", tmp_path / "a.py")
    vgg = minifcn.VGG16(2, width=1 / 64, fc_channels=2)
    vgg.save(tmp_path / "vgg.safetensors")
    assert "holds a VGG16" in fails(capsys, "export", tmp_path / "vgg.safetensors", "--to", "onnx",
                                    "--out", tmp_path / "a")


def test_train_on_a_classifier(tmp_path, capsys):
    vgg = written.randomised(minifcn.VGG16(9, width=1 / 32, fc_channels=6))
    source = written.legacy_pth(tmp_path / "vgg16_from_caffe.pth", written.torchvision(vgg))
    train = ["train", "shapes", "--count", "4", "--size", "33", "40", "--steps", "1", "--batch",
             "1"]
    run = tmp_path / "run"
    assert main([*train, "--out", str(run), "--vgg16", str(source), "--stride", "32"]) == 0
    shown = capsys.readouterr().out
    assert "features.0.weight" in shown and "FCN-32s, width 0.03125" in shown
    model = minifcn.load(run / "best.safetensors")
    assert model.preprocessing == minifcn.Preprocessing.caffe_vgg() and model.stride == 32
    # behind score layers of zero the trunk has no gradient in the first step
    np.testing.assert_array_equal(model.parameters["conv1_1.weight"],
                                  vgg.parameters["conv1_1.weight"])
    assert model.parameters["score_fr.bias"].any()
    assert f'vgg16 = "{source}"' in (run / "config.toml").read_text()
    assert main([*train[:1], "--out", str(run), "--resume", "--steps", "2", "--quiet"]) == 0
    assert main(["train", "--config", str(run / "config.toml"), "--out", str(tmp_path / "again"),
                 "--quiet"]) == 0
    for options, message in ((["--from", run / "best.safetensors"], "choose one"),
                             (["--width", "0.5"], "width"), (["--new-classes"], "--from names")):
        assert message in fails(capsys, *train, "--out", tmp_path / "b", "--vgg16", source,
                                *options)
    assert "has not been fetched" in fails(capsys, *train, "--out", tmp_path / "b", "--vgg16",
                                           "vgg16-keras")


@pytest.mark.parametrize("geometry", ["exact", "caffe"])
@pytest.mark.parametrize("stride, at_once", [(32, False), (16, False), (8, True)])
def test_state_dicts_come_back(tmp_path, stride, at_once, geometry):
    """More about exports: tests/peers/test_weights_exports.py."""
    model = written.randomised(minifcn.FCN(stride, 3, geometry, 1 / 32, 6, at_once=at_once))
    for to, name in (("torch", "fcn.pth"), ("caffe", "fcn.caffemodel"),
                     ("safetensors", "fcn.safetensors")):
        text = export(model, to, tmp_path / name)
        assert model.title in text and "RGB" in text
        again, _ = convert(tmp_path / name, geometry=geometry,
                           at_once=at_once, preprocessing="torchvision")
        assert again.config == {**model.config, "seed": None}
        for parameter in model.parameters:
            np.testing.assert_array_equal(again.parameters[parameter],
                                          model.parameters[parameter])
    again, _ = convert(tmp_path / "fcn.safetensors")     # which says itself what it is
    assert again.config == {**model.config, "seed": None}
    assert again.preprocessing == model.preprocessing
    compile((tmp_path / "fcn.py").read_text(), "fcn.py", "exec")
    prototxt = (tmp_path / "fcn.prototxt").read_text()
    assert prototxt.count("{") == prototxt.count("}") and geometry in prototxt


def test_onnx_graphs_in_the_standards_own_interpreter(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    picture = np.random.default_rng(0).integers(0, 256, (1, 9, 14, 3)).astype(np.uint8)
    narrow = written.randomised(minifcn.FCN(8, 3, "exact", width=1 / 64, fc_channels=2))
    narrow.preprocessing = minifcn.Preprocessing.caffe()
    narrow.save(tmp_path / "a.safetensors")
    for options in ([], ["--half"]):
        assert main(["export", str(tmp_path / "a.safetensors"), "--to", "onnx", "--out",
                     str(tmp_path / "a.onnx"), "--preprocess", "--quiet", *options]) == 0
        made = onnx.load(tmp_path / "a.onnx")
        onnx.checker.check_model(made)
        assert made.opset_import[0].version == 17
        (scores,) = ReferenceEvaluator(made).run(None, {"image": picture})
        expected = narrow.forward(narrow.preprocessing.apply(picture))
        assert np.abs(scores.transpose(0, 2, 3, 1) - expected).max() < \
            (0.01 if options else 1e-4) * np.abs(expected).max()


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert 'pip install "minifcn[interop]"' in fails(
        capsys, "export", "streets-8s", "--to", "onnx", "--out", tmp_path / "a.onnx")


def test_the_mask_is_the_same_after_conversion(tmp_path, fcn):
    """Predict on the command line, from a file of another project."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (21, 30, 3)).astype(np.uint8)).save(
        tmp_path / "photo.png")
    source = written.zip_pth(tmp_path / "fcn.pth", written.pytorch_fcn(fcn))
    checkpoint = tmp_path / "fcn.safetensors"
    assert main(["convert", str(source), "--to", str(checkpoint), "--quiet"]) == 0
    assert main(["predict", str(checkpoint), str(tmp_path / "photo.png"), "--out",
                 str(tmp_path / "masks"), "--quiet"]) == 0
    fcn.preprocessing = minifcn.Preprocessing.caffe()
    mask = np.array(Image.open(tmp_path / "masks" / "photo.png"))
    np.testing.assert_array_equal(mask, fcn.predict(tmp_path / "photo.png"))
