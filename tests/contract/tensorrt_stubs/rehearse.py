"""Runs with one version's bindings on its path: our own modules, as far as they go without a GPU."""

from __future__ import annotations

import json
import sys

import tensorrt as trt

import workers.backends.tensorrt as backend
from enginehouse.errors import CompileFailed
from workers.backends.tensorrt import builder_config, convert, engine, explain, messages, run, versions
from workers.backends.tensorrt.device import Buffer, CudaError, Stream, call, cudart
from workers.backends.tensorrt.plan import Flag

told: dict[str, object] = {"version": trt.__version__}

told["flags"] = sorted(str(flag) for flag in builder_config.FLAGS) == sorted(str(flag) for flag in Flag)
told["network_flags"] = versions.network_flags(trt)
told["types"] = [
    engine.dtype_name(kind) for kind in (trt.float32, trt.float16, trt.int64, trt.DataType.BF16, trt.DataType.FP8)
]

log = messages.messages()
log.log(trt.ILogger.Severity.VERBOSE, "nobody wants to know")
log.log(trt.ILogger.Severity.VERBOSE, "(Sparsity) Found 1 layer(s) eligible to use sparse tactics: conv")
log.log(trt.ILogger.Severity.ERROR, "[network.cpp::operator()::12] Error Code 4: the graph is no good")
told["failure"] = log.why()
told["sparsity"] = len(log.sparsity)

times = explain.LayerTimes()
times.report_layer_time("conv", 0.25)
times.report_layer_time("conv", 0.5)
told["times"] = dict(times.sums)

buffer = Buffer()
allocator = run.OutputAllocator(buffer)
told["allocated"] = allocator.reallocate_output_async("y", 0, 64, 256, 0)
allocator.notify_shape("y", trt.Dims([2, 3]))
told["shape"] = allocator.shape

refused = []
for attempt in (Stream, lambda: buffer.reserve(8), lambda: call(cudart.cudaGetDeviceCount)):
    try:
        attempt()
    except CudaError as error:
        refused.append(str(error).split(":")[0])
told["refused"] = refused

told["machine"] = backend.BACKEND.machine_lacks()
for name, attempt in {
    "builder": lambda: engine.Definition(convert.Path("model.onnx")),
    "runtime": lambda: engine.deserialize(convert.Path("model.engine"), host_code=False),
}.items():
    try:
        attempt()
    except CompileFailed as error:
        told[name] = error.detail

json.dump(told, sys.__stdout__)
