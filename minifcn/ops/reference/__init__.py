"""The textbook engine: every operation as loops that look like their formula. Read me first."""
from minifcn.ops.reference.bilinear import bilinear_upsample_backward, bilinear_upsample_forward
from minifcn.ops.reference.conv2d import conv2d_backward, conv2d_forward
from minifcn.ops.reference.conv_transpose2d import (
    conv_transpose2d_backward,
    conv_transpose2d_forward,
)
from minifcn.ops.reference.dropout import dropout_backward, dropout_forward
from minifcn.ops.reference.linear import linear_backward, linear_forward
from minifcn.ops.reference.max_pool2d import max_pool2d_backward, max_pool2d_forward
from minifcn.ops.reference.relu import relu_backward, relu_forward
from minifcn.ops.reference.softmax_cross_entropy import softmax_cross_entropy

__all__ = [
    "bilinear_upsample_backward", "bilinear_upsample_forward",
    "conv2d_backward", "conv2d_forward",
    "conv_transpose2d_backward", "conv_transpose2d_forward",
    "dropout_backward", "dropout_forward",
    "linear_backward", "linear_forward",
    "max_pool2d_backward", "max_pool2d_forward",
    "relu_backward", "relu_forward",
    "softmax_cross_entropy",
]
