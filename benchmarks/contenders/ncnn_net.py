"""ncnn, its convolutions by Winograd and packed matrix products, in float32.

A network is two files: a text with one line a layer, "type name inputs outputs names... key=value",
in which a value with several readers passes through a Split, and the weights one after the other,
raw float32, each kernel (not each bias) behind four bytes of zero that say so.

Its transposed convolution of single channels is slow, a quarter of the whole network's time. So it
upsamples by interpolation, with the same result: one cell of zeros is put around the image before,
and what has become of it is cropped away afterwards.
"""
import tempfile
from pathlib import Path

import ncnn
import numpy as np

from benchmarks import network

MAGIC = 7767517
# buffers are used again, as in its own benchmark; ncnn does not keep these two alive
ALLOCATORS = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()


def layer_lines(case):
    """The text's lines, and how many values they name."""
    lines = [f"Input {network.INPUT} 0 1 {network.INPUT}"]
    all_layers = network.layers(case)
    readers, margins = {}, {}
    for layer in all_layers:
        margins[layer.name] = getattr(layer, "factor", 0)
        for name in {layer.source, getattr(layer, "skip", layer.source)}:
            readers.setdefault(name, []).append(layer.name)

    def source(layer, name):
        """The value under the name that this reader has after the Split."""
        return f"{name}_for_{layer.name}" if len(readers[name]) > 1 else name

    for layer in all_layers:
        lines += layer_text(case, layer, margins.get(layer.source, 0),
                            lambda name, layer=layer: source(layer, name))
        copies = readers.get(layer.name, [])
        if len(copies) > 1:
            names = " ".join(f"{layer.name}_for_{reader}" for reader in copies)
            lines.append(f"Split {layer.name}_split 1 {len(copies)} {layer.name} {names}")
    return lines, sum(int(each.split()[3]) for each in lines)


def layer_text(case, layer, margin, source):
    """The lines of one layer; ``margin`` is what upsampling has left around its input."""
    name = layer.name
    before = source(layer.source)
    if isinstance(layer, network.Convolution):
        size = layer.kernel**2 * layer.channels * layer.features
        return [f"Convolution {name} 1 1 {before} {name} 0={layer.features} 1={layer.kernel} "
                f"4={layer.padding} 5=1 6={size} 9={int(layer.relu)}"]
    if isinstance(layer, network.Pool):
        return [f"Pooling {name} 1 1 {before} {name} 0=0 1=2 2=2 5=0"]      # 5=0: round up
    if isinstance(layer, network.Upsample):
        return [f"Padding {name}_padded 1 1 {before} {name}_padded 0=1 1=1 2=1 3=1 4=0 5=0.0",
                f"Interp {name} 1 1 {name}_padded {name} 0=2 1={layer.factor}.0 2={layer.factor}.0"]
    crop = f"0={margin} 1={margin} 2=0 3={layer.width} 4={layer.height} 5={case.classes}"
    if isinstance(layer, network.Crop):
        return [f"Crop {name} 1 1 {before} {name} {crop}"]
    return [f"Crop {name}_crop 1 1 {before} {name}_crop {crop}",
            f"BinaryOp {name} 2 1 {name}_crop {source(layer.skip)} {name} 0=0"]


def write(case, folder):
    lines, values = layer_lines(case)
    text = "\n".join([str(MAGIC), f"{len(lines)} {values}", *lines]) + "\n"
    (folder / "net.param").write_text(text)
    with open(folder / "net.bin", "wb") as file:
        for _, weight, bias in network.weights(case):
            file.write(bytes(4))
            network.oihw(weight).tofile(file)
            bias.tofile(file)


def load(case, threads):
    ncnn.set_omp_dynamic(0)
    ncnn.set_omp_num_threads(threads)
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    for kind in ("fp16", "bf16", "int8"):       # what others compute in float32, it must too
        for option in ("packed", "storage", "arithmetic"):
            if hasattr(net.opt, f"use_{kind}_{option}"):
                setattr(net.opt, f"use_{kind}_{option}", False)
    net.opt.blob_allocator, net.opt.workspace_allocator = ALLOCATORS
    with tempfile.TemporaryDirectory() as folder:
        write(case, Path(folder))
        if net.load_param(f"{folder}/net.param") or net.load_model(f"{folder}/net.bin"):
            raise RuntimeError("ncnn refused the network")
    return net


def forward(case, threads):
    net = load(case, threads)
    images = [ncnn.Mat(image).clone() for image in network.nchw(network.images(case))]

    def run():      # it knows no batches
        scores = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input(network.INPUT, image)
            status, value = extractor.extract(network.OUTPUT)
            if status:
                raise RuntimeError(f"ncnn stopped with status {status}")
            scores.append(value)
        return scores

    def result(scores):
        return np.stack([np.array(each) for each in scores]).transpose(0, 2, 3, 1)

    return run, result
