"""The weight files that people have: one table, for ``fetch`` and for what a file cannot tell.

An address stands here only if the project that publishes the file names it, together with a
checksum; nobody's address is guessed. All other files have to be downloaded by hand.
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from minifcn.models.preprocessing import Preprocessing

IMAGENET = "ImageNet's, for research"
PASCAL = "not stated by its authors; trained on PASCAL VOC, for research"


class Entry(NamedTuple):
    """A published file."""

    file: str                           # its name
    what: str
    licence: str
    checksum: str = ""                  # "md5:...", "sha1:..." or "sha256:...", of the latter the
                                        # beginning may do
    addresses: tuple[str, ...] = ()     # mirrors, the first is tried first
    size: int | None = None             # in bytes
    home: str = ""                      # where a person finds it
    preprocessing: str = ""             # a key of PREPROCESSINGS
    at_once: bool = False


PREPROCESSINGS = {
    "torchvision": Preprocessing.imagenet(),
    "caffe": Preprocessing.caffe(),
    "caffe-vgg": Preprocessing.caffe_vgg(),
    "amdegroot": Preprocessing(mean=(0.48235 * 255, 0.45882 * 255, 0.40784 * 255), std=(1, 1, 1)),
}
FCN = "github.com/shelhamer/fcn.berkeleyvision.org"
CHAINER, PYTORCH = "github.com/wkentaro/fcn", "github.com/wkentaro/pytorch-fcn"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"


def _released(name: str, title: str, chainer: str, pytorch: str, at_once: bool = False):
    """The three forms of a released FCN."""
    stem = name.replace("-heavy", "")
    yield f"{name}-pascal", Entry(
        f"{name}-pascal.caffemodel", f"{title}, the authors' own", PASCAL, home=FCN,
        preprocessing="caffe", at_once=at_once)
    for kind, md5, home, suffix in (("chainer", chainer, CHAINER, "npz"),
                                    ("pytorch", pytorch, PYTORCH, "pth")):
        yield f"{stem}-{kind}", Entry(
            f"{stem}_from_caffe.{suffix}", f"{title}, converted from the caffemodel", PASCAL,
            f"md5:{md5}" if md5 else "", home=home, preprocessing="caffe", at_once=at_once)


CATALOGUE: dict[str, Entry] = {
    "vgg16-torchvision": Entry(
        "vgg16-397923af.pth", "VGG16 of torchvision, trained anew; RGB", "BSD-3-Clause (the code); "
        + IMAGENET, "sha256:397923af", ("https://download.pytorch.org/models/vgg16-397923af.pth",),
        home="pytorch.org/vision", preprocessing="torchvision"),
    "vgg16-timm": Entry(
        "model.safetensors", "the same weights from timm, vgg16.tv_in1k", "BSD-3-Clause",
        home="huggingface.co/timm/vgg16.tv_in1k", preprocessing="torchvision"),
    "vgg16-caffe": Entry(
        "VGG_ILSVRC_16_layers.caffemodel", "VGG16 as its authors trained it; BGR",
        "CC BY-NC 4.0, as its authors are said to state",
        home="www.robots.ox.ac.uk/~vgg/research/very_deep", preprocessing="caffe-vgg"),
    "vgg16-keras": Entry(
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "the authors' VGG16 for Keras; BGR",
        "CC BY 4.0, as Keras states", "md5:64373286793e3c8b2b4e3219cbf3544b",
        (KERAS + "vgg16_weights_tf_dim_ordering_tf_kernels.h5",), home="keras.io/api/applications",
        preprocessing="caffe-vgg"),
    "vgg16-keras-notop": Entry(
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "its convolutions alone",
        "CC BY 4.0, as Keras states", "md5:6d6bbae143d832006294945121d1f1fc",
        (KERAS + "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",), size=58_889_256,
        home="keras.io/api/applications", preprocessing="caffe-vgg"),
    "vgg16-pytorch-fcn": Entry(
        "vgg16_from_caffe.pth", "the authors' VGG16 under torchvision's names; BGR", IMAGENET,
        "md5:aa75b158f4181e7f6230029eb96c1b13", home=PYTORCH, preprocessing="caffe-vgg"),
    "vgg16-tensorflow": Entry(
        "vgg16.npy", "the authors' VGG16, of tensorflow-vgg; BGR", IMAGENET,
        "sha1:6206897b35c2bfe5d9d16b83314e44fc3ea83b1c", home="github.com/machrisaa/tensorflow-vgg",
        preprocessing="caffe-vgg"),
    "vgg16-amdegroot": Entry(
        "vgg16_features-amdegroot-88682ab5.pth", "VGG16 for SSD; its classifier is NaN",
        "BSD-3-Clause (the code); " + IMAGENET, "sha256:88682ab5",
        ("https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth",),
        home="pytorch.org/vision", preprocessing="amdegroot"),
    **dict(_released("fcn32s-heavy", "FCN-32s", "b7f0a2e66229ccdb099c0a60b432e8cf",
                     "d3eb467a80e7da0468a20dfcbc13e6c8")),
    **dict(_released("fcn16s-heavy", "FCN-16s", "", "a2d4035f669f09483b39c9a14a0d6670")),
    **dict(_released("fcn8s-heavy", "FCN-8s", "256c2a8235c1c65e62e48d3284fbd384",
                     "de93e540ec79512f8770033849c8ae89")),
    **dict(_released("fcn8s-atonce", "FCN-8s, trained at once", "5f3ffdc7fae1066606e1ef45cfda548f",
                     "bfed4437e941fef58932891217fe6464", at_once=True)),
}


def published(path: Path, catalogue: Mapping[str, Entry] = CATALOGUE) -> Entry | None:
    """The entry whose checksum a file has."""
    kinds = {entry.checksum.split(":")[0] for entry in catalogue.values() if entry.checksum}
    digests = {kind: hashlib.new(kind) for kind in kinds}
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            for digest in digests.values():
                digest.update(piece)
    return next((entry for entry in catalogue.values() if entry.checksum and digests[
        entry.checksum.split(":")[0]].hexdigest().startswith(entry.checksum.split(":")[1])), None)
