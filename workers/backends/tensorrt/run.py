"""Load an engine and run it: NumPy in, NumPy out, memory on the GPU kept from one inference to the next."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import tensorrt as trt

from enginehouse.errors import CompileFailed
from enginehouse.shapes import Profile
from workers.backends.base import Array, Arrays, Saved, Session, as_fed
from workers.backends.tensorrt import record
from workers.backends.tensorrt.device import Buffer, Stream, device
from workers.backends.tensorrt.engine import deserialize, facts, refit
from workers.backends.tensorrt.messages import messages
from workers.backends.tensorrt.profiles import choose, takes

Shape = tuple[int, ...]


class OutputAllocator(trt.IOutputAllocator):  # type: ignore[misc]
    """Memory for an output whose shape is known only once it is computed."""

    def __init__(self, buffer: Buffer) -> None:
        trt.IOutputAllocator.__init__(self)
        self.buffer = buffer
        self.shape: Shape = ()

    def reallocate_output_async(self, tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int:
        """At least ``size`` bytes. CUDA's own allocations are aligned to 256 bytes. 0 where there are none."""
        try:
            return self.buffer.reserve(size)
        except Exception as error:  # noqa: BLE001 - an exception must not cross into C++
            print(f"output '{tensor_name}': {error}", flush=True)  # noqa: T201 - the build's log
            return 0

    def notify_shape(self, tensor_name: str, shape: Any) -> None:
        """The shape that came out."""
        self.shape = tuple(shape)


class TensorRtSession(Session):
    """An engine with one execution context on a stream of its own."""

    def __init__(self, saved: Saved) -> None:
        self.record = record.read(saved.folder)
        self.device = device()
        self.record.refuse_unless_runs(self.device.name, self.device.compute_capability, trt.__version__)
        self.engine = deserialize(saved.path, host_code=self.record.version_compatible)
        if self.record.weights is not None:
            refit(self.engine, saved.folder / self.record.weights)
        self.facts = facts(self.engine)
        self._profiles: tuple[Profile, ...] = self.facts.profiles if any(self.facts.profiles) else ()
        self._on_host = {
            one.name
            for one in (*self.facts.inputs, *self.facts.outputs)
            if self.engine.get_tensor_location(one.name) == trt.TensorLocation.HOST
        }
        self._open()

    def _open(self) -> None:
        """A context on a stream of its own, with memory of its own."""
        self.context = self.engine.create_execution_context()
        if self.context is None:
            raise messages().failure(CompileFailed, "TensorRT gives no execution context")
        self.stream = Stream()
        self._buffers = {one.name: Buffer() for one in (*self.facts.inputs, *self.facts.outputs)}
        self._shapes: dict[str, Shape] = {}
        self._host_values: dict[str, Array] = {}
        self._allocators: dict[str, OutputAllocator] = {}

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference, transfers included."""
        arrays = {one.name: self._fed(one.name, one.dtype, feeds) for one in self.facts.inputs}
        self._shape({name: array.shape for name, array in arrays.items()})
        for name, array in arrays.items():
            if name in self._on_host:
                self._host_values[name] = array  # read while the inference runs
                self._address(name, array.ctypes.data, again=True)
            else:
                self._address(name, self._buffers[name].upload(array, self.stream))
        outputs = self._prepare_outputs()
        messages().forget()
        if not self.context.execute_async_v3(int(self.stream)):
            raise messages().failure(CompileFailed, "the inference failed")
        if self._allocators:
            self.stream.wait()
            for name, allocator in self._allocators.items():
                outputs[name] = np.empty(allocator.shape, outputs[name].dtype)
        for name, array in outputs.items():
            if name not in self._on_host:
                self._buffers[name].download(array, self.stream)
        self.stream.wait()
        return outputs

    def beside(self) -> Session:
        """Another context of the same engine, on another stream."""
        other = copy.copy(self)
        other._open()
        return other

    def takes(self, feeds: Arrays) -> bool:
        """Whether one of the engine's optimisation profiles takes inputs of these shapes."""
        return takes(self._profiles, {name: array.shape for name, array in feeds.items()})

    def information(self) -> str:
        """The engine inspector's JSON of the profile that ran last, at the shapes that ran last."""
        inspector = self.engine.create_engine_inspector()
        inspector.execution_context = self.context
        return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))

    def settings(self) -> dict[str, Any]:
        """What the numbers were taken under, read back from the engine and the device."""
        return {
            **self.record.settings(),
            "runs_on": self.device.name,
            "runs_with": f"TensorRT {trt.__version__}, CUDA {self.device.cuda_runtime}",
            "transfers": "included",
            "cuda_graph": False,
            "optimization_profiles": len(self.facts.profiles),
            "aux_streams": self.facts.aux_streams,
            "refittable": self.facts.refittable,
            "activation_bytes": int(self.engine.device_memory_size_v2),
            **{f"build_{name}": value for name, value in self.record.plan.items()},
        }

    def _fed(self, name: str, dtype: str, feeds: Arrays) -> Array:
        if name not in feeds:
            raise CompileFailed(f"the engine needs the input '{name}'", input=name)
        array = as_fed(feeds[name])
        if str(array.dtype) != dtype:
            raise CompileFailed(f"the engine takes '{name}' as {dtype}, not {array.dtype}", input=name)
        return array

    def _shape(self, shapes: dict[str, Shape]) -> None:
        """Tell TensorRT what has changed since the last inference, nothing else: it would lay everything out anew."""
        if shapes == self._shapes:
            return
        self._shapes = {}
        profile = choose(self._profiles, shapes, self.context.active_optimization_profile)
        if profile != self.context.active_optimization_profile:
            if not self.context.set_optimization_profile_async(profile, int(self.stream)):
                raise messages().failure(CompileFailed, f"optimisation profile {profile} cannot be used")
            self.stream.wait()
        for name, shape in shapes.items():
            if not self.context.set_input_shape(name, shape):
                raise messages().failure(CompileFailed, f"the engine does not take '{name}' as {list(shape)}")
        self._shapes = shapes

    def _prepare_outputs(self) -> dict[str, Array]:
        """Arrays to fill, with memory on the GPU for each; an output of unknown shape gets an allocator instead."""
        outputs: dict[str, Array] = {}
        for one in self.facts.outputs:
            shape = tuple(self.context.get_tensor_shape(one.name))
            if -1 in shape:
                self._allocate_later(one.name)
                outputs[one.name] = np.empty(0, one.dtype)
                continue
            array = outputs[one.name] = np.empty(shape, one.dtype)
            if one.name in self._on_host:
                self._address(one.name, array.ctypes.data)
            else:
                self._address(one.name, self._buffers[one.name].reserve(array.nbytes))
        return outputs

    def _allocate_later(self, name: str) -> None:
        if name not in self._allocators:
            self._allocators[name] = OutputAllocator(self._buffers[name])
            self.context.set_output_allocator(name, self._allocators[name])

    def _address(self, name: str, address: int, *, again: bool = False) -> None:
        """``again``: at the same place there may be other values, which decide shapes."""
        if not again and self.context.get_tensor_address(name) == address:
            return
        if not self.context.set_tensor_address(name, address):
            raise messages().failure(CompileFailed, f"the memory of '{name}' is not taken")
