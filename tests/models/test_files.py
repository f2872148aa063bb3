"""Checkpoints: what is read is what was written, and broken files get one clear sentence."""
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import minifcn
from minifcn.models import files


def small(**options):
    return minifcn.FCN(
        **({"stride": 8, "classes": 3, "width": 1 / 64, "fc_channels": 2, "seed": 4} | options)
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "street.safetensors"
    small().save(path)
    return path


def split(path):
    """The header of a safetensors file as an object, and the bytes behind it."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:8 + length]), content[8 + length:]


def join(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def tell_otherwise(path, **changes):
    """Change what the file says about its network."""
    header, data = split(path)
    about = json.loads(header["__metadata__"]["minifcn"])
    for name, value in changes.items():
        place = about["config"] if name in about["config"] else about
        place[name] = value
    header["__metadata__"]["minifcn"] = json.dumps(about)
    join(path, header, data)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 32, "geometry": "caffe", "upsampling": "learned"},
        {"dtype": "float64", "seed": None},
        {"stride": 16, "at_once": True, "dropout": 0.25, "width": 0.03},
        {"classes": 300},
    ],
)
def test_a_model_comes_back_as_it_was(tmp_path, options):
    model = small(**options)
    rng = np.random.default_rng(0)
    for name in model.parameters:
        model.parameters[name] = rng.standard_normal(model.parameters[name].shape)
    model.class_names = [f"thing № {index}" for index in range(model.classes)]
    model.palette = rng.integers(0, 256, (model.classes, 3)).astype(np.uint8)
    model.preprocessing = minifcn.Preprocessing.caffe()
    model.save(tmp_path / "a.safetensors")
    loaded = minifcn.load(tmp_path / "a.safetensors")
    assert type(loaded) is minifcn.FCN and loaded.config == model.config
    assert loaded.class_names == model.class_names and loaded.preprocessing == model.preprocessing
    np.testing.assert_array_equal(loaded.palette, model.palette)
    assert loaded.palette.dtype == np.uint8
    for name in model.parameters:
        np.testing.assert_array_equal(loaded.parameters[name], model.parameters[name])
        assert (
            loaded.parameters[name].dtype == model.dtype and loaded.parameters[name].flags.writeable
        )
    image = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(loaded.predict(image), model.predict(image))
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_numpy_numbers_as_arguments_can_be_saved(tmp_path):
    model = small(
        classes=np.int64(3), width=np.float32(0.02), seed=np.uint8(1), at_once=np.bool_(True)
    )
    model.save(tmp_path / "a.safetensors")
    assert minifcn.load(tmp_path / "a.safetensors").config == model.config


def test_a_classifier_comes_back_too(tmp_path):
    model = minifcn.VGG16(4, width=1 / 64, fc_channels=2)
    model.save(tmp_path / "vgg.safetensors")
    loaded = minifcn.load(str(tmp_path / "vgg.safetensors"))
    assert type(loaded) is minifcn.VGG16 and loaded.config == model.config


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_half_a_file_gives_the_dtype_of_the_network(tmp_path, dtype):
    model = small(dtype=dtype)
    model.save(tmp_path / "whole.safetensors")
    model.save(tmp_path / "half.safetensors", half=True)
    stored = files.read(tmp_path / "half.safetensors").parameters
    assert {array.dtype for array in stored.values()} == {np.dtype(np.float16)}
    loaded = minifcn.load(tmp_path / "half.safetensors")
    for name, array in model.parameters.items():
        assert loaded.parameters[name].dtype == array.dtype == dtype
        np.testing.assert_array_equal(loaded.parameters[name], array.astype(np.float16))
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < sizes[1]


def test_what_cannot_be_halved(tmp_path):
    model = small()
    model.parameters["conv3_1.bias"][0] = 7e4
    with pytest.raises(ValueError, match=r"conv3_1.bias holds 70000, which float16 cannot"):
        model.save(tmp_path / "half.safetensors", half=True)
    with pytest.raises(ValueError, match="training state"):
        small().save(tmp_path / "half.safetensors", {"steps": np.zeros(1)}, half=True)
    assert not list(tmp_path.iterdir())


def test_training_state_rides_along_and_stays_out_of_the_model(tmp_path):
    path = tmp_path / "a.safetensors"
    velocity = np.arange(12.0).reshape(3, 4).T
    small().save(path, {"velocity.fc6.weight": velocity, "steps": np.array([7])},
                 {"epoch": 3, "best": 0.25, "order": [2, 0, 1]})
    checkpoint = files.read(path)
    assert set(checkpoint.tensors) == {"velocity.fc6.weight", "steps"}
    np.testing.assert_array_equal(checkpoint.tensors["velocity.fc6.weight"], velocity)
    assert checkpoint.tensors["steps"].dtype == np.int64
    assert checkpoint.metadata == {"epoch": 3, "best": 0.25, "order": [2, 0, 1]}
    assert set(minifcn.load(path).parameters) == set(small().parameters)


def test_nothing_is_pickled(saved):
    header, _ = split(saved)
    assert set(header) == {"__metadata__", *small().parameters}
    assert set(json.loads(header["__metadata__"]["minifcn"])) >= {
        "config", "class_names", "palette", "preprocessing"}


# Broken files. Each message names the file and says what is wrong.


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99, 0.9999])
def test_a_file_that_is_cut_off(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[:int(len(content) * share)])
    with pytest.raises(
        ValueError, match=r"street\.safetensors is cut off or not a safetensors file"
    ):
        minifcn.load(saved)


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(500), b"{}", bytes(8), b"\xff" * 64, b"PK\x03\x04" + bytes(100)],
)
def test_a_file_of_something_else(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"weights\.safetensors is cut off or not a safetensors file"
    ):
        minifcn.load(path)


def test_a_safetensors_file_of_another_project(tmp_path):
    path = tmp_path / "vgg16.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"features.0.weight": np.zeros((2, 3), np.float32)}, path, metadata)
        with pytest.raises(
            ValueError, match=r"vgg16\.safetensors is a safetensors file, but not a "
        ):
            minifcn.load(path)


@pytest.mark.parametrize("path", ["missing.safetensors", ".", "no/folder.safetensors"])
def test_no_file(tmp_path, path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        minifcn.load(tmp_path / path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"classes": 4}, "names 3 classes and 3 colours, its network has 4"),
        ({"class_names": ["a", "b"]}, "names 2 classes and 3 colours, its network has 3"),
        ({"palette": [[0, 0, 0]]}, "3 classes and 1 colours"),
        (
            {"class_names": list("abcd"), "palette": [[0, 0, 0]] * 4, "classes": 4},
            r"score_fr.bias has shape \(3,\), its architecture asks for \(4,\)",
        ),
        ({"stride": 16}, r"score_pool3.bias has shape \(3,\), its architecture asks for none"),
        ({"stride": 32}, "architecture asks for none"),
        (
            {"upsampling": "learned"},
            r"upscore2.weight has shape none, its architecture asks for \(4, 4, 3, 3\)",
        ),
        ({"width": 1 / 8}, r"conv1_1.bias has shape \(1,\), its architecture asks for \(8,\)"),
        ({"fc_channels": 3}, "fc6.bias has shape"),
        ({"fc_channels": 10**8}, "fc6.bias has shape"),
        ({"fc_channels": 10**16}, "cannot be built"),
        ({"dtype": "float64"}, "has dtype F32, the network F64"),
        ({"geometry": "tight"}, "geometry is 'tight'"),
        ({"classes": 10**12}, "classes is 1000000000000; at most 65,536"),
        ({"classes": -3}, "classes is -3"),
        ({"width": "wide"}, "cannot be built"),
        ({"width": float("nan")}, "width is nan"),
        ({"seed": "dice"}, "seed is 'dice'"),
        ({"dropout": 1}, "dropout is 1"),
        ({"config": {}}, "cannot be built: 'classes'"),
        ({"config": None}, "not a checkpoint that can be used"),
        (
            {
                "config": {
                    "classes": 3,
                    "fc_channels": 2,
                    "seed": 0,
                    "width": 1,
                    "dropout": 0,
                    "depth": 9,
                }
            },
            "depth",
        ),
        ({"kind": "UNet"}, "holds a 'UNet', not one of FCN, VGG16"),
        ({"kind": ["FCN"]}, "holds a"),
        ({"kind": "VGG16"}, "cannot be built"),
        ({"format": "minifcn 9"}, "its format is 'minifcn 9', this program reads 'minifcn 1'"),
        ({"palette": [[1, 2, 3], [4, 5]]}, "not a checkpoint that can be used"),
        ({"palette": [[1, 2, 300]] * 3}, "not a checkpoint that can be used"),
        (
            {"preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 0], "order": "RGB"}},
            "std has to be positive",
        ),
        ({"preprocessing": {"mean": [0, 0], "std": [1, 1, 1]}}, "mean needs 3"),
        ({"preprocessing": {"mean": None}}, "preprocessing needs mean, std and order"),
        ({"preprocessing": []}, "not a checkpoint"),
        ({"class_names": 7}, "not a checkpoint"),
        ({"state": 5}, "not a checkpoint that can be used"),
    ],
)
def test_a_file_that_contradicts_itself(saved, changes, message):
    tell_otherwise(saved, **changes)
    with pytest.raises(ValueError, match=message) as raised:
        minifcn.load(saved)
    assert "street.safetensors" in str(raised.value)


GREEDY = """
import resource, sys
import minifcn
from minifcn.models import files, load       # imported before it is measured
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    minifcn.load(sys.argv[1])
except ValueError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss in kilobytes is Linux's")
@pytest.mark.parametrize("changes, tensors", [
    ({"upsampling": "learned", "stride": 32, "classes": 2000,       # 16 GB
      "class_names": ["x"] * 2000, "palette": [[0, 0, 0]] * 2000}, {}),
    ({"width": 99, "fc_channels": 10**6}, {}),                      # 24 TB
    ({}, {"fc6.weight": [2**14, 2**14]}),                           # 1 GB in the file, as a hole
    ({}, {"training/velocity": [2**15, 2**15]}),                    # left alone
])
def test_sizes_are_compared_before_memory_is_taken(saved, changes, tensors):
    tell_otherwise(saved, **changes)
    header, data = split(saved)
    size = len(data)
    for name, shape in tensors.items():
        end = size + 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [size, end]}
        size = end
    if "fc6.weight" in tensors:         # its old bytes belong to another name
        header["fc9"] = split(saved)[0]["fc6.weight"]
    join(saved, header, data)
    with open(saved, "r+b") as file:
        file.truncate(saved.stat().st_size + size - len(data))
    done = subprocess.run([sys.executable, "-c", GREEDY, str(saved)], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *message, numbers = done.stdout.splitlines()
    assert int(numbers) < 60         # megabytes
    assert ("contradicts itself" in message[0]) if "training/velocity" not in tensors else \
        not message


def test_a_parameter_that_is_missing_or_too_many(tmp_path, saved):
    header, data = split(saved)
    info = header.pop("fc7.bias")
    header["fc9.bias"] = info
    join(saved, header, data)
    with pytest.raises(
        ValueError, match=r"fc7.bias has shape none, its architecture asks for \(2,\)"
    ):
        minifcn.load(saved)


def test_text_that_is_no_json(saved):
    header, data = split(saved)
    for text in ("{", "", "[" * 100_000, "null", "[1]", '"x"'):
        header["__metadata__"]["minifcn"] = text
        join(saved, header, data)
        with pytest.raises(ValueError, match=r"street.safetensors"):
            minifcn.load(saved)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a small checkpoint."""
    path = tmp_path_factory.mktemp("whole") / "a.safetensors"
    small(stride=32, classes=1).save(path)
    return path.read_bytes()


@settings(max_examples=150)
@given(data=st.data())
def test_any_damage_gives_a_model_or_a_clear_error(tmp_path_factory, whole, data):
    """Bytes changed anywhere, as by a bad disk: never a crash, never another kind of error."""
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    content = bytearray(whole)
    header = struct.unpack("<Q", content[:8])[0] + 8
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1)))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content[:data.draw(st.one_of(st.just(len(content)),
                                                  st.integers(0, len(content))))])
    try:
        minifcn.load(path)
    except ValueError as error:
        assert "damaged.safetensors" in str(error)


# Writing


FULL_DISK = """
import resource, sys
import numpy as np
import minifcn
model = minifcn.FCN(8, 3, width=1 / 64, fc_channels=2, seed=9)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    model.save(sys.argv[1])
except OSError as error:
    print("OSError", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are a matter of Unix")
def test_a_full_disk_leaves_the_old_file(saved):
    before = saved.read_bytes()
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(saved)], capture_output=True, text=True, timeout=600
    )
    assert run.stdout.startswith("OSError"), run.stderr
    assert "street.safetensors" in run.stdout
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]
    minifcn.load(saved)


def test_state_that_json_cannot_hold_leaves_the_old_file(saved):
    before = saved.read_bytes()
    with pytest.raises(TypeError):
        small().save(saved, metadata={"rng": np.random.default_rng()})
    assert saved.read_bytes() == before and os.listdir(saved.parent) == [saved.name]


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        small().save(tmp_path / "runs" / "a.safetensors")
