"""ONNX Runtime, all graph optimisations."""
import onnxruntime

from benchmarks import network
from benchmarks.contenders.onnx_export import export


def forward(case, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(export(case, resize=True), options,
                                           providers=["CPUExecutionProvider"])
    images = network.nchw(network.images(case))
    return (lambda: session.run(None, {network.INPUT: images})[0],
            lambda scores: scores.transpose(0, 2, 3, 1))
