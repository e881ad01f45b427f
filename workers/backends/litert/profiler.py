"""LiteRT's operator profiler, which its Python wrapper does not offer, through the C interface of the same library.

Run as a program: ``python profiler.py MODEL FEEDS.npz THREADS XNNPACK RUNS`` prints a list of events as JSON for the
last runs. It imports nothing of the farm, and a process of its own keeps what a foreign interface may break from the
build. Sources: litert/c/{litert_compiled_model,litert_profiler,litert_profiler_event,litert_layout}.h of
https://github.com/google-ai-edge/LiteRT.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

_CPU = 1
_ALIGNMENT = 64
_MOST_RANK = 8
_ELEMENTS = {
    "float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "float16": 10, "float64": 11,
}  # fmt: skip
"""TfLiteType by the NumPy name."""

OPERATOR, DELEGATED = 2, 8
"""LiteRtProfilerEventType: an operator of the graph, whose index is the first number, and a kernel of a delegate."""


class _Layout(ctypes.Structure):
    _fields_ = [
        ("head", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * _MOST_RANK),
        ("strides", ctypes.c_uint32 * _MOST_RANK),
    ]


class _Type(ctypes.Structure):
    _fields_ = [("element", ctypes.c_int), ("layout", _Layout)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory", ctypes.c_size_t * 6),
        ("number", ctypes.c_uint64),
        ("graph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]


class _Library:
    """The functions, with a Python error for every status that is not 0."""

    def __init__(self) -> None:
        found = importlib.util.find_spec("ai_edge_litert")
        assert found is not None
        assert found.submodule_search_locations is not None
        self._all = ctypes.CDLL(str(Path(found.submodule_search_locations[0]) / "libLiteRt.so"))
        self._libc = ctypes.CDLL(None)
        self._libc.strdup.restype = ctypes.c_void_p
        self._libc.strdup.argtypes = [ctypes.c_char_p]

    def call(self, name: str, *arguments: Any) -> None:
        """Call. Raises RuntimeError."""
        status = getattr(self._all, name)(*arguments)
        if status:
            raise RuntimeError(f"{name}: status {status}")

    def make(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument takes the handle that it makes."""
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        return handle

    def option(self, options: ctypes.c_void_p, name: bytes, text: bytes) -> None:
        """Options in TOML, which the library frees."""
        free = ctypes.cast(self._libc.free, ctypes.c_void_p)
        payload = ctypes.c_void_p(self._libc.strdup(text))
        self.call("LiteRtAddOpaqueOptions", options, self.make("LiteRtCreateOpaqueOptions", name, payload, free))


def profile(model: str, feeds: list[np.ndarray[Any, Any]], threads: int, xnnpack: bool, runs: int) -> list[Any]:
    """The events of each run: [tag, type, number, microseconds, subgraph].

    ``model``: of fixed shapes. ``feeds``: arrays for the main subgraph's inputs in their order, in their element
    types. Raises OSError, AttributeError, RuntimeError.
    """
    from ai_edge_litert.interpreter import Interpreter

    outputs = Interpreter(model).get_output_details()
    library = _Library()
    environment = library.make("LiteRtCreateEnvironment", 0, None)
    loaded = library.make("LiteRtCreateModelFromFile", environment, model.encode())
    options = library.make("LiteRtCreateOptions")
    library.call("LiteRtSetOptionsHardwareAccelerators", options, _CPU)
    library.option(options, b"runtime_options_string", b"enable_profiling = true\n")
    kernels = b"" if xnnpack else b'kernel_mode = "builtin"\n'
    library.option(options, b"xnnpack", b"num_threads = %d\n" % threads + kernels)
    compiled = library.make("LiteRtCreateCompiledModel", environment, loaded, options)
    zero = ctypes.c_size_t(0)
    results = [np.zeros(one["shape"], one["dtype"]) for one in outputs]
    kept, ins = _buffers(library, feeds)
    more, outs = _buffers(library, results)
    profiler = library.make("LiteRtCompiledModelGetProfiler", compiled)
    found = []
    for run in range(runs + 1):  # the first one warms up
        library.call("LiteRtResetProfiler", profiler)
        library.call("LiteRtStartProfiler", profiler)
        sizes = ctypes.c_size_t(len(feeds)), ctypes.c_size_t(len(results))
        library.call("LiteRtRunCompiledModel", compiled, zero, sizes[0], ins, sizes[1], outs)
        library.call("LiteRtStopProfiler", profiler)
        if run:
            found.append(_events(library, profiler))
    assert len(kept) + len(more) == len(feeds) + len(results)  # they lived until here
    return found


def _buffers(library: _Library, arrays: list[np.ndarray[Any, Any]]) -> tuple[list[Any], Any]:
    """Aligned copies, and handles for them."""
    kept, handles = [], []
    for array in arrays:
        raw = np.zeros(array.nbytes + 2 * _ALIGNMENT, np.uint8)
        offset = -raw.ctypes.data % _ALIGNMENT
        raw[offset : offset + array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
        kind = _Type(element=_ELEMENTS[array.dtype.name])
        kind.layout.head = array.ndim
        for axis, size in enumerate(array.shape):
            kind.layout.dimensions[axis] = size
        address, size = ctypes.c_void_p(raw.ctypes.data + offset), ctypes.c_size_t(max(1, array.nbytes))
        name = "LiteRtCreateTensorBufferFromHostMemory"
        handles.append(library.make(name, ctypes.byref(kind), address, size, None))
        kept.append(raw)
    return kept, (ctypes.c_void_p * len(handles))(*[handle.value for handle in handles])


def _events(library: _Library, profiler: ctypes.c_void_p) -> list[list[Any]]:
    count = ctypes.c_int()
    library.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
    events = (_Event * count.value)()
    library.call("LiteRtGetProfilerEvents", profiler, count, events)
    wanted = (OPERATOR, DELEGATED)
    return [[one.tag.decode(), one.type, one.number, one.elapsed_us, one.graph] for one in events if one.type in wanted]


def main(model: str, feeds: str, threads: str, xnnpack: str, runs: str) -> None:
    """See the module."""
    with np.load(feeds) as archive:
        arrays = [archive[str(index)] for index in range(len(archive.files))]
    found = profile(model, arrays, int(threads), xnnpack == "1", int(runs))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
