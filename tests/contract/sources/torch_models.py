"""Small PyTorch modules, one per thing that a source must cope with, and what makes files of them."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(image)))


class Tokens(nn.Module):
    """Two integer inputs: an index and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(37, 8)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        held = self.table(ids) * mask.unsqueeze(-1).to(torch.float32)
        return held.sum(1), held.sum(1).argmax(1)


class Recurrent(nn.Module):
    """An LSTM with its state as a tuple, in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, after = self.lstm(x, state)
        return y, after


class Named(nn.Module):
    """A dict out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        held = torch.tanh(self.body(x))
        return {"logits": self.head(held), "hidden": held}


class Double(nn.Module):
    """Everything in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Choosing(nn.Module):
    """A boolean input, and an output that is an input as it came."""

    def forward(self, keep: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(keep, a, b), a


class Counting(nn.Module):
    """State that every call changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(x.sum(0))
        return x + self.seen


class Untranslatable(nn.Module):
    """Two operators that ONNX has no counterpart for."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.special.bessel_j0(x).relu(), torch.special.bessel_j1(x)


@dataclass(frozen=True)
class Case:
    """A module with example inputs; ``dynamic``: dimensions of the exported program that are."""

    make: Callable[[], nn.Module]
    inputs: tuple[Any, ...]
    dynamic: Any = None
    flat: dict[str, Any] = field(default_factory=dict)
    """the signature's input names to arrays"""

    def module(self) -> nn.Module:
        torch.manual_seed(3)
        return self.make().eval()

    def expected(self) -> list[np.ndarray[Any, Any]]:
        """What PyTorch itself makes of the inputs, flattened."""
        with torch.no_grad():
            tensors, _ = torch.utils._pytree.tree_flatten(self.module()(*self.copied()))
        return [tensor.numpy() for tensor in tensors]

    def copied(self) -> tuple[Any, ...]:
        return torch.utils._pytree.tree_map(torch.clone, self.inputs)


def case(make: Callable[[], nn.Module], dynamic: Any = None, **inputs: Any) -> Case:
    """Names of tuples' parts are made as they are in the signature."""
    flat = {}
    for name, value in inputs.items():
        parts = {f"{name}_{i}": part for i, part in enumerate(value)} if isinstance(value, tuple) else {name: value}
        flat.update({key: part.numpy().copy() for key, part in parts.items()})
    return Case(make, tuple(inputs.values()), dynamic, flat)


_random = torch.Generator().manual_seed(1)


def randn(*shape: int, **more: Any) -> Tensor:
    return torch.randn(*shape, generator=_random, **more)


CASES: dict[str, Case] = {
    "convolution": case(Convolution, image=randn(2, 3, 8, 8)),
    "dynamic": case(
        Convolution, {"image": {0: Dim("batch"), 2: Dim("half", max=64) * 2, 3: Dim("width")}}, image=randn(2, 3, 8, 6)
    ),
    "tokens": case(
        Tokens,
        {"ids": {0: Dim("batch"), 1: Dim("length")}, "mask": {0: Dim("batch"), 1: Dim("length")}},
        ids=torch.tensor([[3, 36, 0, 7, 1], [5, 5, 9, 2, 8]]),
        mask=torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
    ),
    "recurrent": case(
        Recurrent,
        {"x": {0: Dim("batch")}, "state": ({1: Dim("batch")}, {1: Dim("batch")})},
        x=randn(2, 7, 6),
        state=(randn(1, 2, 5), randn(1, 2, 5)),
    ),
    "named": case(Named, x=randn(3, 4)),
    "double": case(Double, x=randn(3, 4, dtype=torch.float64)),
    "choosing": case(Choosing, keep=torch.tensor([True, False, True]), a=randn(3), b=randn(3)),
    "counting": case(Counting, x=randn(3, 4)),
}


def exported(which: Case, path: Path) -> Path:
    """A .pt2 archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own LSTM
        program = torch.export.export(which.module(), which.copied(), dynamic_shapes=which.dynamic)
        torch.export.save(program, path)
    return path


def traced(which: Case, path: Path) -> Path:
    """A TorchScript archive that keeps the shapes of its examples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and is still what many have
        path.parent.mkdir(parents=True, exist_ok=True)
        module = torch.jit.trace(which.module(), which.copied(), strict=False, check_trace=False)
        module.load_state_dict(which.module().state_dict())  # tracing ran it
        torch.jit.save(module, str(path))
    return path


def scripted(module: nn.Module, path: Path) -> Path:
    """A TorchScript archive that says nothing of shapes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.jit.save(torch.jit.script(module.eval()), str(path))
    return path


def rewritten(path: Path, to: Path, changes: Mapping[str, Callable[[bytes], bytes] | bytes | None]) -> Path:
    """A copy of an archive with members (paths below its root) changed, added, or left out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        left = dict(changes)
        for name in old.namelist():
            inner = name.removeprefix(f"{root}/")
            change = left.pop(inner, lambda data: data)
            if change is not None:
                new.writestr(name, change if isinstance(change, bytes) else change(old.read(name)))
        for inner, content in left.items():
            assert isinstance(content, bytes)
            new.writestr(f"{root}/{inner}", content)
    return to


def edited(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """A change of a JSON member, made on what it parses to."""

    def apply(data: bytes) -> bytes:
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return apply
