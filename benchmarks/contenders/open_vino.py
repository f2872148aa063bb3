"""OpenVINO on the CPU, for latency, in float32."""
import openvino

from benchmarks import network
from benchmarks.contenders.onnx_export import export


def forward(case, threads):
    core = openvino.Core()
    model = core.read_model(export(case, resize=False))
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",      # not bfloat16, which others do not compute in
    })
    request = compiled.create_infer_request()
    images = network.nchw(network.images(case))
    return (lambda: request.infer([images], share_inputs=True, share_outputs=True)[0],
            lambda scores: scores.transpose(0, 2, 3, 1))
