"""What both PyTorch formats share: how a loaded module is run, and how torch is kept quiet about itself."""

from __future__ import annotations

import copy
import importlib.metadata
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from enginehouse.signature import ModelSignature
from workers.backends.base import Array, Arrays, Session, Setting


def runtime() -> str:
    """What runs a PyTorch model, for the report."""
    return f"torch {importlib.metadata.version('torch')} fp32 cpu"


@contextmanager
def quietly() -> Iterator[None]:
    """Without torch's warnings about its own parts (deprecations, absent packages): they are not the user's."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)


class TorchSession(Session):
    """A module that takes tensors and returns tensors, in the signature's order.

    A module that keeps something from one run to the next is run afresh each time: cases do not depend on their order.
    ``remade``: whether it is copied for each run; otherwise buffers that the first run changed are put back.
    """

    def __init__(self, module: Any, signature: ModelSignature, setting: Setting, remade: bool = False) -> None:
        import torch

        torch.set_num_threads(setting.threads)
        self._module = module
        self._signature = signature
        self._remade = remade
        self._buffers = buffers(module)
        self._changed: list[str] | None = None

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """See Session."""
        import torch

        # Copied: a module may write into its inputs.
        given = [torch.from_numpy(np.array(feeds[spec.name])) for spec in self._signature.inputs]
        module = copy.deepcopy(self._module) if self._remade else self._module
        first = self._changed is None
        with quietly() if first else nullcontext(), torch.no_grad():
            self._restore()
            results = _flat(module(*given))
            if first:
                self._changed = changed(module, self._buffers)
        outputs = self._signature.outputs
        if len(results) != len(outputs):
            raise ValueError(f"the module returns {len(results)} tensors, its signature has {len(outputs)}")
        return {spec.name: _array(result) for spec, result in zip(outputs, results, strict=True)}

    def settings(self) -> dict[str, Any]:
        """See Session."""
        import torch

        return {"threads": torch.get_num_threads(), "float32_matmul_precision": torch.get_float32_matmul_precision()}

    def _restore(self) -> None:
        if self._changed:
            now = dict(self._module.named_buffers())
            for name in self._changed:
                now[name].copy_(self._buffers[name])


def buffers(module: Any) -> dict[str, Any]:
    """Copies of a module's buffers by name."""
    return {name: tensor.clone() for name, tensor in module.named_buffers()}


def changed(module: Any, before: dict[str, Any]) -> list[str]:
    """Names of the buffers that are not what they were."""
    now = dict(module.named_buffers())
    return [name for name, old in before.items() if not _equal(old, now[name])]


def _equal(old: Any, new: Any) -> bool:
    """Whether two buffers hold the same; NaN is like NaN."""
    return old.shape == new.shape and bool(((old == new) | ((old != old) & (new != new))).all())


def _flat(result: Any) -> Sequence[Any]:
    return [result] if not isinstance(result, tuple | list) else result


def _array(tensor: Any) -> Array:
    """A tensor as an array of its own; NumPy has no bfloat16, float32 holds its values."""
    import torch

    plain = tensor.detach()
    found: Array = (plain.float() if plain.dtype is torch.bfloat16 else plain).contiguous().numpy().copy()
    return found
