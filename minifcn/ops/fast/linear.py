"""Fully connected layer: matrix products.

    x (n, c_in)   weight (c_in, c_out)   bias (c_out,)   ->   y (n, c_out)
    y = x W + bias        dx = dy W'        dweight = x' dy        dbias = sum over n of dy
"""
from ..checks import dense
from .gemm import multiply


def linear_forward(x, weight, bias):
    return multiply(dense(x), dense(weight), dense(bias))


def linear_backward(dy, x, weight):
    dy, x, weight = dense(dy), dense(x), dense(weight)
    return multiply(dy, weight.T), multiply(x.T, dy), dy.sum(axis=0)
