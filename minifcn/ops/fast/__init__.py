"""The tuned engine: the functions of ``ops.reference``, for vector units and all cores."""
from minifcn.ops.fast.bilinear import bilinear_upsample_backward, bilinear_upsample_forward
from minifcn.ops.fast.conv2d import (
    conv2d_backward,
    conv2d_forward,
    conv2d_relu_backward,
    conv2d_relu_forward,
)
from minifcn.ops.fast.conv_transpose2d import conv_transpose2d_backward, conv_transpose2d_forward
from minifcn.ops.fast.dropout import dropout_backward, dropout_forward
from minifcn.ops.fast.linear import linear_backward, linear_forward
from minifcn.ops.fast.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minifcn.ops.fast.relu import relu_backward, relu_forward
from minifcn.ops.fast.softmax_cross_entropy import softmax_cross_entropy

__all__ = [
    "bilinear_upsample_backward", "bilinear_upsample_forward",
    "conv2d_backward", "conv2d_forward", "conv2d_relu_backward", "conv2d_relu_forward",
    "conv_transpose2d_backward", "conv_transpose2d_forward",
    "dropout_backward", "dropout_forward",
    "linear_backward", "linear_forward", "max_pool2d_backward", "max_pool2d_forward",
    "relu_backward", "relu_forward",
    "softmax_cross_entropy",
]
