"""Right code that computes in float64 whatever it is given, and rounds at the end."""
from functools import wraps

import numpy as np

from tests.gradcheck.planted import right
from tests.gradcheck.planted.styles import flat


def is_float(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def in_float64(function):
    @wraps(function)
    def wrapper(first, *others, **options):
        def narrow(value):
            return value.astype(first.dtype) if is_float(value) else value
        result = function(first.astype(np.float64), *(
            each.astype(np.float64) if is_float(each) else each for each in others), **options)
        return tuple(map(narrow, result)) if isinstance(result, tuple) else narrow(result)
    return wrapper


conv2d_forward = in_float64(right.conv2d_forward)
conv2d_backward = in_float64(right.conv2d_backward)
conv_transpose2d_forward = in_float64(right.conv_transpose2d_forward)
conv_transpose2d_backward = in_float64(right.conv_transpose2d_backward)
max_pool2d_forward = in_float64(flat.max_pool2d_forward)
max_pool2d_backward = in_float64(right.max_pool2d_backward)
bilinear_upsample_forward = in_float64(right.bilinear_upsample_forward)
bilinear_upsample_backward = in_float64(right.bilinear_upsample_backward)
relu_forward = in_float64(right.relu_forward)
relu_backward = in_float64(right.relu_backward)
linear_forward = in_float64(right.linear_forward)
linear_backward = in_float64(right.linear_backward)
dropout_forward = in_float64(right.dropout_forward)
dropout_backward = in_float64(right.dropout_backward)
softmax_cross_entropy = in_float64(right.softmax_cross_entropy)
