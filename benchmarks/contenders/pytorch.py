"""PyTorch, eager, its CPU kernels."""
import torch
from torch.nn import functional

from benchmarks import network
from benchmarks.contenders import DECAY, MOMENTUM, RATE


class Net(torch.nn.Module):
    def __init__(self, case, memory_format):
        super().__init__()
        self.schedule, self.memory_format = network.schedule(case), memory_format
        for layer, weight, bias in network.weights(case):
            weight = torch.from_numpy(network.oihw(weight)).contiguous(memory_format=memory_format)
            bias = torch.from_numpy(bias)
            self.register_parameter(f"{layer.name}_weight", torch.nn.Parameter(weight))
            self.register_parameter(f"{layer.name}_bias", torch.nn.Parameter(bias))
        for factor in (2, 8):
            kernel = torch.from_numpy(network.bilinear_square(factor))
            kernel = kernel.repeat(case.classes, 1, 1, 1)
            self.register_buffer(f"bilinear_{factor}", kernel)

    def apply_layer(self, layer, values):
        x = values[layer.source]
        if isinstance(layer, network.Convolution):
            y = functional.conv2d(x, getattr(self, f"{layer.name}_weight"),
                                  getattr(self, f"{layer.name}_bias"), padding=layer.padding)
            return functional.relu_(y) if layer.relu else y
        if isinstance(layer, network.Pool):
            return functional.max_pool2d(x, 2, ceil_mode=True)
        if isinstance(layer, network.Upsample):
            return functional.conv_transpose2d(x, getattr(self, f"bilinear_{layer.factor}"),
                                               stride=layer.factor, padding=layer.factor // 2,
                                               groups=x.shape[1])
        x = x[:, :, :layer.height, :layer.width]
        return x + values[layer.skip] if isinstance(layer, network.Fuse) else x

    def forward(self, images):
        values = {network.INPUT: images}
        for layer, spent in self.schedule:
            values[layer.name] = self.apply_layer(layer, values)
            for name in spent:
                del values[name]
        return values[network.OUTPUT]


def prepare(case, threads, memory_format):
    torch.set_num_threads(threads)
    images = torch.from_numpy(network.nchw(network.images(case)))
    return Net(case, memory_format), images.contiguous(memory_format=memory_format)


def forward(case, threads, memory_format=torch.contiguous_format):
    net, images = prepare(case, threads, memory_format)

    def run():
        with torch.inference_mode():
            return net(images)

    return run, lambda scores: scores.permute(0, 2, 3, 1).numpy()


def training(case, threads, memory_format=torch.contiguous_format):
    net, images = prepare(case, threads, memory_format)
    labels = torch.from_numpy(network.labels(case)).long()
    parameters = dict(net.named_parameters())
    biases = [value for name, value in parameters.items() if name.endswith("_bias")]
    weights = [value for name, value in parameters.items() if name.endswith("_weight")]
    optimizer = torch.optim.SGD([    # as in the paper: biases at twice the rate, without decay
        {"params": weights, "lr": RATE, "weight_decay": DECAY},
        {"params": biases, "lr": 2 * RATE, "weight_decay": 0.0},
    ], momentum=MOMENTUM, fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    def gradients(names):
        values = {name: parameters[name.replace(".", "_")].grad for name in names}
        return {name: (value.permute(2, 3, 1, 0) if value.ndim == 4 else value).numpy()
                for name, value in values.items()}

    return step, gradients
