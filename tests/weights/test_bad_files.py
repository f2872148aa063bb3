"""Files that are damaged, lie, or want to run code: one clear sentence, and nothing happens."""
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import minifcn
from minifcn.weights import convert, inspect, open_weights
from tests.weights import mutations, written


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return mutations.samples(tmp_path_factory.mktemp("samples"))


def refused(path, message):
    with pytest.raises((ValueError, OSError), match=message) as raised:
        convert(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def file(tmp_path, content, name="weights"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3, 0.9, 0.999])
def test_files_that_are_cut_off(tmp_path, samples, share):
    for sample in samples:
        if sample.suffix == ".h5" and share != 0.3:
            continue                # each takes a process
        content = sample.read_bytes()
        path = file(tmp_path, content[:max(1, int(len(content) * share))], f"cut-{sample.name}")
        refused(path, "cut off|damaged|begins|empty|no layers|text|there are")


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"),
    (b"\x1f\x8b\x08" + bytes(50), "gzip; unpack"),
    (b"<!DOCTYPE html><html>not found</html>", "a web page"),
    (b"\n  <html><body>", "a web page"),
    (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(200), "MatConvNet.*fcn8s-heavy-pascal"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS"),
    (b'name: "fcn"\nlayer { name: "data" }\n', "a prototxt"),
    (b"\x08\x08\x12\x07pytorch" + bytes(100), "ONNX"),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), "a picture"),
    (os.urandom(7) + bytes(500), "no format of weights begins|damaged|cut off"),
    (b"a\0" * 120 + bytes(17) + b"ustar" + bytes(200), r"before version 0\.1\.10"),
    (b"PK\x03\x04" + bytes(100), "damaged zip"),
])
def test_something_else(tmp_path, content, message):
    refused(file(tmp_path, content), message)


def test_no_file(tmp_path):
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file"):
            open_weights(path)


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("photo.jpg", b"...")
    refused(tmp_path / "a.zip", "a zip without weights.*photo.jpg")


# -- pickles -------------------------------------------------------------------------------------


class Runs:
    """Pickles itself as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def malicious(kind, value, path):
    """The value in a file of this kind, in the place of the weights."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(value, 2))
    elif kind == "legacy":
        head = written.legacy_bytes({})
        path.write_bytes(head[:head.index(b"ccollections")] + pickle.dumps(value, 2)[2:])
    else:
        with open(path, "wb") as out:
            np.save(out, np.array({"conv1_1": value}, dtype=object), allow_pickle=True)
    return path


@pytest.mark.parametrize("kind", ["zip", "legacy", "npy"])
@pytest.mark.parametrize("function, arguments, name", [
    (os.system, ("touch {}",), "system"), (eval, ("open({!r}, 'w')",), "eval"),
    (getattr, (os, "system"), "getattr"), (subprocess.Popen, (["touch", "{}"],), "Popen"),
    (io.open, ("{}", "w"), "open"),
])
def test_pickles_that_want_to_run_code(tmp_path, kind, function, arguments, name):
    trace = tmp_path / "it-ran"
    arguments = [each.format(str(trace)) if isinstance(each, str) else each for each in arguments]
    try:
        path = malicious(kind, Runs(function, *arguments), tmp_path / "evil")
    except TypeError:           # a module cannot be pickled: by name it can
        path = malicious(kind, Runs(function, "os", "system"), tmp_path / "evil")
    refused(path, f"asks for .*{name}.*nothing of it was run")
    assert not trace.exists()
    with pytest.raises(ValueError, match="nothing of it was run"):
        inspect(path)


@pytest.mark.parametrize("instructions, message", [
    (b"N0" * 400_000 + b"N.", "more than 500,000 instructions"),
    (b"]" + b"\x94" * 300_000 + b".", "remembers more than 200,000"),
    (b"X\xff\xff\xff\xff.", "cut off"), (b"\x8e" + b"\xff" * 8 + b".", "cut off"),
    (b"T" + struct.pack("<i", -5) + b".", "cut off"),
    (b"j\xff\xff\xff\x7f.", "damaged"), (b"0.", "damaged"), (b".", "damaged"), (b"R.", "damaged"),
    (b"\x8c\x03osx\x8c\x06system\x93.", r"asks for osx\.system"),
    (b"i__main__\nx\n.", "instruction b'i'"), (b"(icollections\nx\n.", "instruction b'i'"),
    (b"ccollections\nOrderedDict\n}\x81.", "instruction"),
    (b"}(K\x01K\x02u.", "no state dict"), (b"}(]K\x02u.", "keys that are no names"),
    (b"K\x01Q.", "damaged|outside"), (b"ctorch\nFloatStorage\n.", "no state dict"),
    (b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02tR.", "damaged"),
    (b"ctorch._utils\n_rebuild_tensor_v2\n(K\1K\0))\x89NtR.", "of something else"),
    (b"c" + b"a" * 5000, "cut off|damaged"),
])
def test_pickles_that_are_no_weights(tmp_path, instructions, message):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + instructions)
    refused(path, message)


def test_a_dictionary_that_holds_itself(tmp_path):
    value = {}
    value.update({str(index): value for index in range(300)})
    refused(malicious("zip", value, tmp_path / "a.pth"), "no state dict")


def tensor_pickle(count, shape, strides, offset=0, kind="FloatStorage"):
    def number(value):
        return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)

    storage = b"(" + written.text("storage") + f"ctorch\n{kind}\n".encode() \
        + written.text("0") + written.text("cpu") + number(count) + b"tQ"
    return b"\x80\x02}(" + written.text("conv1_1.weight") \
        + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) \
        + b"(" + b"".join(map(number, shape)) + b"t(" + b"".join(map(number, strides)) + b"t" \
        + b"\x89NtRu."


@pytest.mark.parametrize("arguments, message", [
    ((2**60, (2**60,), (1,)), "more than there are"),
    ((100, (2**30, 2**30), (2**30, 1)), "but there are"),
    ((100, (200,), (1,)), "but there are"), ((100, (100,), (1,), 1), "but there are"),
    ((100, (10,), (1,), -1), "but there are"), ((100, (-10,), (1,)), "no shape"),
    ((100, (10,), (-1,)), "no shape"), ((100, (10, 10), (1,)), "strides"),
    ((1, (2**40,), (0,)), "strides"), ((-1, (1,), (1,)), "unknown kind"),
    ((100, (1,) * 40, (1,) * 40), "no shape"),
    ((100, (10,), (1,), 0, "ComplexFloatStorage"), "asks for torch.ComplexFloatStorage"),
])
def test_tensors_of_a_pth_that_lie(tmp_path, arguments, message):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(*arguments))
        archive.writestr("archive/data/0", bytes(400))
    refused(path, message)


def test_a_storage_that_is_missing(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(100, (100,), (1,)))
    refused(path, r"conv1_1\.weight: its storage 0 is missing")


# -- headers that lie ----------------------------------------------------------------------------


@pytest.mark.parametrize("change", [
    {"shape": [2**60]}, {"shape": [-3]}, {"data_offsets": [0, 2**60]}, {"data_offsets": [8, 4]},
    {"data_offsets": [-8, 4]}, {"shape": "many"}, {"dtype": "F99"}, {"shape": [2**32, 2**32]}])
def test_safetensors_that_lie(tmp_path, change):
    save_file({"conv1_1.weight": np.zeros((2, 3), np.float32), "b": np.zeros(3, np.float32)},
              tmp_path / "a")
    header, data = written.header_of(tmp_path / "a")
    header["conv1_1.weight"].update(change)
    text = json.dumps(header).encode()
    refused(file(tmp_path, struct.pack("<Q", len(text)) + text + data), "cut off or damaged")


def test_overlapping_tensors(tmp_path):
    header = {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"}
    text = json.dumps(header).encode()
    refused(file(tmp_path, struct.pack("<Q", len(text)) + text + bytes(8)), "cut off or damaged")


@pytest.mark.parametrize("dimensions, numbers, message", [
    ((2**60,), 4, "but there are"), ((2**40, 2**40), 4, "but there are"),
    ((2**64 - 1,), 4, "but there are"), ((2,), 4, "has 16 bytes"), ((1,) * 9, 1, "no shape")])
def test_blobs_that_lie(tmp_path, dimensions, numbers, message):
    shape = written.field(7, written.field(1, b"".join(map(written.varint, dimensions))))
    blob = written.field(7, shape + written.field(5, bytes(4 * numbers)))
    content = written.field(100, written.field(1, b"conv1_1") + blob)
    refused(file(tmp_path, content), f"layer conv1_1: .*{message}")


def test_old_and_double_caffemodels(tmp_path):
    content = written.field(2, written.field(1, b"the layer of 2013"))
    refused(file(tmp_path, content), "Caffe's first format")
    arrays = written.torch_arrays(minifcn.VGG16(2, width=1 / 64, fc_channels=2))
    path = written.caffemodel(tmp_path / "a", arrays)
    refused(file(tmp_path, path.read_bytes() * 2), "two layers")


@pytest.mark.parametrize("content", [
    written.field(1, b"net") + b"\x1a\0" * 300_000, written.field(1, b"net") + b"\xa2\6\0" * 30_000,
    written.field(100, written.field(1, b"a") + written.field(7, b"\x08\1" * 300_000)),
    written.field(100, written.field(1, b"a") + written.field(7, written.field(
        7, b"\x08\1" * 300_000)))])
def test_messages_of_very_many_parts(tmp_path, content):
    refused(file(tmp_path, content), "more than 20|no shape")


def npy(shape, dtype="<f4", data=bytes(24)):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + data


@pytest.mark.parametrize("content, message", [
    (npy("(1152921504606846976,)"), "should hold 1,152,921,504,606,846,976 numbers"),
    (npy("(7,)"), "should hold 7"), (npy("(-2,)"), "header is damaged"),
    (npy("(__import__('os').system('true'),)"), "header is damaged"),
    (npy("(6,)", "|O"), "not VGG16|no weight"), (b"\x93NUMPY\1\0\xff\xff{", "header is damaged")])
def test_arrays_that_lie(tmp_path, content, message):
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = tmp_path / f"a{compression}.npz"
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("conv1_1/W.npy", content)
        refused(path, message)


def test_one_array_is_no_network(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    refused(tmp_path / "a.npy", "one array of shape")
    np.save(tmp_path / "b.npy", np.array(["text"], dtype=object), allow_pickle=True)
    refused(tmp_path / "b.npy", "no dictionary")


def test_zip_bombs(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, \
            archive.open("conv1_1/W.npy", "w") as entry:
        for _ in range(100):
            entry.write(bytes(1 << 20))
    assert path.stat().st_size < 200_000
    refused(path, "unpacks to 104,857,600: weights do not do that")
    assert convert_memory(path) < 150


def convert_memory(path):
    """MB that a new process takes at most for a file which is refused."""
    code = ("import resource, sys\nfrom minifcn.weights import convert\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try:\n    convert(sys.argv[1])\n    print('read')\nexcept ValueError:\n"
            "    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1000)\n")
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True,
                          check=True)
    return int(done.stdout)


def test_an_h5_in_pieces_and_one_that_points_elsewhere(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as out:
        out.create_dataset("x", data=np.zeros((9, 9), "f4"), compression="gzip")
    refused(tmp_path / "a.h5", "stored in pieces")
    with h5py.File(tmp_path / "b.h5", "w") as out:
        out.attrs["layer_names"] = [b"block1_conv1"]
        out["block1_conv1"] = h5py.ExternalLink("/etc/passwd", "/")
    refused(tmp_path / "b.h5", "has no block1_conv1")
    with h5py.File(tmp_path / "c.h5", "w") as out:
        out.create_group("empty")
    refused(tmp_path / "c.h5", "no arrays")
    with h5py.File(tmp_path / "d.h5", "w") as out:
        out["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 64), "f4")
    refused(tmp_path / "d.h5", "Keras 3")


def test_without_h5py_it_says_what_to_install(tmp_path, samples, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = next(sample for sample in samples if sample.suffix == ".h5")
    refused(path, r'pip install "minifcn\[interop\]"')


# -- the disk, and damage of any kind ------------------------------------------------------------

FULL = """
import resource, sys
from minifcn.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.exit(main(["convert", sys.argv[1], "--to", sys.argv[2]]))
"""


def test_a_full_disk_leaves_nothing(tmp_path, samples):
    source = next(sample for sample in samples if sample.name == "zip.pth")
    out = str(tmp_path / "out.safetensors")
    done = subprocess.run([sys.executable, "-c", FULL, str(source), out], capture_output=True,
                          text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "out.safetensors" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_few_hundred_mutated_files(samples):
    """More of them: python -m tests.weights.mutations 20000."""
    with tempfile.TemporaryDirectory() as name:
        assert 0 < mutations.run(400, 7, samples, Path(name)) < 350
