"""From classifier to fully convolutional network (section 3.1 of the paper).

A fully connected layer on 7 x 7 cells of 512 channels is a convolution with a kernel of 7 x 7 cells
that fits in just one place. Features are flattened in h, w, c order here, which is the order of a
kernel's axes too: the same numbers serve, only the shape changes. On a larger image the kernel fits
in more places, and the classifier becomes a map of scores.
"""
from __future__ import annotations

from minifcn.models.vgg import VGG16


def convolutionalize(vgg: VGG16) -> VGG16:
    """The same network with fc6, fc7 and fc8 as convolutions; for 224 x 224 pixels the same scores.

    Parameters
    ----------
    vgg : VGG16
        With fully connected layers. It is not changed, and shares no memory with the result.

    Returns
    -------
    VGG16
        ``FCN.copy_from`` takes it.
    """
    if vgg.config["convolutional"]:
        raise ValueError("this network is convolutional already")
    result = VGG16(**{**vgg.config, "convolutional": True, "seed": None})
    result.config["seed"] = vgg.config["seed"]
    result.dropout_seed, result.preprocessing = vgg.dropout_seed, vgg.preprocessing
    result.class_names, result.palette = list(vgg.class_names), vgg.palette.copy()
    theirs, mine = vgg.parameters, result.parameters
    for name, shape in mine.shapes().items():
        mine[name] = theirs[name].reshape(shape)
    return result
