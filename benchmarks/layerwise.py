"""The network's layers one by one, each with random inputs of its size: minifcn and PyTorch."""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

import minifcn
from benchmarks import network


def inputs(case: network.Case):
    """Each layer to measure with its input, weight, bias and the gradient of its output."""
    rng = np.random.default_rng(0)

    def random(*shape):
        return rng.standard_normal(shape, np.float32)

    parameters = {layer.name: (weight, bias) for layer, weight, bias in network.weights(case)}
    for layer, (height, width), _ in network.convolution_work(case):
        x = random(case.batch, height, width, layer.channels)
        dy = random(case.batch, height, width, layer.features)
        yield layer, x, *parameters.pop(layer.name), dy
    channels = case.channels(64)
    half = -(-case.height // 2), -(-case.width // 2)
    yield (network.Pool("pool1", ""), random(case.batch, case.height, case.width, channels), None,
           None, random(case.batch, *half, channels))
    eighth = -(-case.height // 8), -(-case.width // 8)
    yield (network.Upsample("upscore8", "", 8), random(case.batch, *eighth, case.classes), None,
           None, random(case.batch, 8 * eighth[0], 8 * eighth[1], case.classes))


def minifcn_operation(layer, x, weight, bias, dy):
    from minifcn import ops

    if isinstance(layer, network.Pool):
        _, argmax = ops.max_pool2d_forward(x)
        return (lambda: ops.max_pool2d_forward(x),
                lambda: ops.max_pool2d_backward(dy, argmax, x.shape))
    if isinstance(layer, network.Upsample):
        how = layer.factor, 2 * layer.factor, layer.factor // 2
        return (lambda: ops.bilinear_upsample_forward(x, *how),
                lambda: ops.bilinear_upsample_backward(dy, *how, x.shape))
    if not layer.relu:
        return (lambda: ops.conv2d_forward(x, weight, bias, 1, layer.padding),
                lambda: ops.conv2d_backward(dy, x, weight, 1, layer.padding))
    y = ops.conv2d_relu_forward(x, weight, bias, 1, layer.padding)
    return (lambda: ops.conv2d_relu_forward(x, weight, bias, 1, layer.padding),
            lambda: ops.conv2d_relu_backward(dy, y, x, weight, 1, layer.padding,
                                             need_dx=layer.source != network.INPUT))


def pytorch_operation(layer, x, weight, bias, dy, memory_format):
    import torch
    from torch.nn import functional

    def tensor(array, to):
        return torch.from_numpy(to(array)).contiguous(memory_format=memory_format)

    x, dy = tensor(x, network.nchw), tensor(dy, network.nchw)
    x.requires_grad = layer.source != network.INPUT
    if isinstance(layer, network.Pool):
        def run():
            return functional.max_pool2d(x, 2, ceil_mode=True)
    elif isinstance(layer, network.Upsample):
        kernel = torch.from_numpy(network.bilinear_square(layer.factor)).repeat(x.shape[1], 1, 1, 1)

        def run():
            return functional.conv_transpose2d(x, kernel, stride=layer.factor,
                                               padding=layer.factor // 2, groups=x.shape[1])
    else:
        weight = tensor(weight, network.oihw).requires_grad_()
        bias = torch.from_numpy(bias).requires_grad_()

        def run():
            y = functional.conv2d(x, weight, bias, padding=layer.padding)
            return functional.relu_(y) if layer.relu else y

    def forward():
        with torch.inference_mode():
            run()

    graph = run()
    leaves = [leaf for leaf in (x, weight, bias) if leaf is not None and leaf.requires_grad]
    return forward, lambda: torch.autograd.grad(graph, leaves, dy, retain_graph=True)


def measure(contender: str, case: network.Case, threads: int, repeats: int) -> dict:
    """Median seconds of the forward and the backward pass of each layer, by its name."""
    if contender == "minifcn":
        minifcn.set_threads(threads)

        def operation(*layer):
            return minifcn_operation(*layer)
    else:
        import torch

        torch.set_num_threads(threads)
        last = "channels_last" in contender
        memory_format = torch.channels_last if last else torch.contiguous_format

        def operation(*layer):
            return pytorch_operation(*layer, memory_format)

    return {layer.name: [median_seconds(run, repeats) for run in operation(layer, *arrays)]
            for layer, *arrays in inputs(case)}


def median_seconds(run: Callable, repeats: int) -> float:
    run()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)
