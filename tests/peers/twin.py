"""FCN once more, in PyTorch, from the paper and the authors' Caffe release.

It shares no code with minifcn: paddings and crops are the published numbers, written out.
"""
import numpy as np
import torch
from torch.nn import functional as F

CAFFE_CROPS = {32: (19,), 16: (5, 27), 8: (5, 9, 31)}


def to_torch(name: str, array: np.ndarray) -> torch.Tensor:
    """A parameter in PyTorch's layout, as a leaf that gathers a gradient."""
    if name.startswith("upscore"):
        array = array.transpose(2, 3, 0, 1)         # (in, out, k, k)
    elif array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)         # (out, in, k, k)
    return torch.tensor(np.ascontiguousarray(array), requires_grad=True)


def from_torch(name: str, tensor: torch.Tensor) -> np.ndarray:
    """A parameter or its gradient in minifcn's layout."""
    array = tensor.detach().numpy()
    if name.startswith("upscore"):
        return array.transpose(2, 3, 0, 1)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def bilinear(channels: int, size: int, dtype) -> torch.Tensor:
    """The kernel as the authors' surgery.py computes it, on the diagonal."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 == 1 else factor - 0.5
    rows, columns = np.ogrid[:size, :size]
    filt = (1 - abs(rows - centre) / factor) * (1 - abs(columns - centre) / factor)
    weight = np.zeros((channels, channels, size, size))
    weight[range(channels), range(channels)] = filt
    return torch.tensor(weight, dtype=dtype)


def scores(config: dict, weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """FCN without dropout: x (n, 3, h, w) -> scores (n, classes, h, w)."""
    caffe, stride = config["geometry"] == "caffe", config["stride"]
    pool4_scale, pool3_scale = (0.01, 0.0001) if config["at_once"] else (1, 1)

    def convolution(name, x, padding=0):
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)

    def upsample(name, x, factor):
        weight = weights.get(f"{name}.weight")
        if weight is None:
            weight = bilinear(x.shape[1], 2 * factor, x.dtype)
        padding = 0 if caffe else factor // 2
        return F.conv_transpose2d(x, weight, stride=factor, padding=padding)

    def add(upsampled, skip, offset):
        if caffe:       # the finer scores are the larger ones
            h, w = upsampled.shape[2:]
            return upsampled + skip[:, :, offset:offset + h, offset:offset + w]
        return upsampled[:, :, :skip.shape[2], :skip.shape[3]] + skip

    y, pools = x, {}
    for stage, convolutions in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)):
        for number in range(1, convolutions + 1):
            padding = 100 if caffe and (stage, number) == (1, 1) else 1
            y = F.relu(convolution(f"conv{stage}_{number}", y, padding))
        y = pools[stage] = F.max_pool2d(y, 2, 2, ceil_mode=True)
    y = F.relu(convolution("fc6", y, 0 if caffe else 3))
    y = F.relu(convolution("fc7", y))
    y = convolution("score_fr", y)
    if stride == 32:
        y = upsample("upscore", y, 32)
    else:
        y = upsample("upscore2", y, 2)
        y = add(y, convolution("score_pool4", pools[4] * pool4_scale), 5)
        if stride == 16:
            y = upsample("upscore16", y, 16)
        else:
            y = upsample("upscore_pool4", y, 2)
            y = add(y, convolution("score_pool3", pools[3] * pool3_scale), 9)
            y = upsample("upscore8", y, 8)
    offset = CAFFE_CROPS[stride][-1] if caffe else 0
    return y[:, :, offset:offset + x.shape[2], offset:offset + x.shape[3]]
