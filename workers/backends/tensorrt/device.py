"""The GPU of this process, through NVIDIA's own Python bindings of the CUDA runtime. Device 0 is the one to use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cuda.bindings import runtime as cudart

from workers.backends.base import Array

_SUCCESS = cudart.cudaError_t.cudaSuccess


class CudaError(RuntimeError):
    """A call of the CUDA runtime failed."""


@dataclass(frozen=True)
class Device:
    """What an engine is bound to. CUDA versions as 'major.minor'."""

    name: str
    compute_capability: str
    cuda_runtime: str
    cuda_driver: str


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the CUDA runtime: its one result, None where it gives none. Raises CudaError with CUDA's own words."""
    status, *results = function(*arguments)
    if status != _SUCCESS:
        _, text = cudart.cudaGetErrorString(status)
        said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise CudaError(f"{function.__name__}: {said} ({status.name})")
    return results[0] if results else None


def device() -> Device:
    """The GPU. Raises CudaError where there is none that works."""
    if not call(cudart.cudaGetDeviceCount):
        raise CudaError("CUDA sees no GPU")
    call(cudart.cudaSetDevice, 0)
    properties = call(cudart.cudaGetDeviceProperties, 0)
    name = properties.name
    return Device(
        name=name.decode() if isinstance(name, bytes) else str(name),
        compute_capability=f"{properties.major}.{properties.minor}",
        cuda_runtime=_version(call(cudart.cudaRuntimeGetVersion)),
        cuda_driver=_version(call(cudart.cudaDriverGetVersion)),
    )


class Stream:
    """A CUDA stream of its own: TensorRT synchronises more than it must on the default one."""

    def __init__(self) -> None:
        self.handle = call(cudart.cudaStreamCreateWithFlags, cudart.cudaStreamNonBlocking)

    def wait(self) -> None:
        """Until everything that was enqueued is done."""
        call(cudart.cudaStreamSynchronize, self.handle)

    def __int__(self) -> int:
        return int(self.handle)

    def __del__(self) -> None:
        with suppress(Exception):  # the process may be ending
            cudart.cudaStreamDestroy(self.handle)


class Buffer:
    """Memory on the GPU that is kept from one inference to the next and grows when it must."""

    def __init__(self) -> None:
        self.address = 0
        self.size = 0

    def reserve(self, size: int) -> int:
        """At least ``size`` bytes; what was in them is lost when they move. Returns the address."""
        if size > self.size or not self.address:
            self.free()
            self.address = int(call(cudart.cudaMalloc, max(size, 1)))
            self.size = max(size, 1)
        return self.address

    def upload(self, array: Array, stream: Stream) -> int:
        """The array's bytes (C-contiguous), copied on the stream. Returns the address."""
        address = self.reserve(array.nbytes)
        if array.nbytes:
            kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
            call(cudart.cudaMemcpyAsync, address, array.ctypes.data, array.nbytes, kind, int(stream))
        return address

    def download(self, array: Array, stream: Stream) -> None:
        """Fill the array (C-contiguous) on the stream; its values are there once the stream is waited for."""
        if array.nbytes:
            kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
            call(cudart.cudaMemcpyAsync, array.ctypes.data, self.address, array.nbytes, kind, int(stream))

    def free(self) -> None:
        """Give the memory back."""
        address, self.address, self.size = self.address, 0, 0
        if address:
            call(cudart.cudaFree, address)

    def __del__(self) -> None:
        with suppress(Exception):
            self.free()


def _version(number: int) -> str:
    """13050 → '13.5'."""
    return f"{number // 1000}.{number % 1000 // 10}"
