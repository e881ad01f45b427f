"""TorchScript (.pt): run by torch. Loading and running it is C++ alone: no Python of its author runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from enginehouse.errors import ModelUnreadable
from enginehouse.formats import Format
from workers.backends.base import Session, Setting
from workers.backends.workpiece import Source, Workpiece
from workers.sources.base import SourceFormat
from workers.sources.torch_session import TorchSession, quietly, runtime
from workers.sources.torchscript_onnx import from_module, written

_SCALARS = {"IntType": "int", "FloatType": "float", "BoolType": "bool"}


def load_module(source: Source | Path) -> Any:
    """The torch.jit.ScriptModule of a TorchScript archive, in evaluation mode, whatever the file is called.

    Its forward takes tensors alone, with the signature's names, and returns a tensor or a flat tuple of the
    signature's outputs in their order. Loading it builds objects, and runs no Python.
    Raises ModelUnreadable.
    """
    import torch

    with quietly():
        loaded: Any = torch.jit.load(str(source if isinstance(source, Path) else source.path), map_location="cpu")
        return flattened(loaded.eval())


def flattened(module: Any) -> Any:
    """The module itself where it takes tensors and returns a tensor or a flat tuple, else one around it that does."""
    import torch

    schema = module.forward.schema
    arguments = [one for one in schema.arguments[1:] if not one.has_default_value()]
    taken: list[str] = []
    passed = []
    for one in arguments:
        value, names = _rebuilt(one.type, one.name)
        taken += names
        passed.append(f"{one.name}={value}")
    kind = schema.returns[0].type
    places = list(_places(kind, "result", module))
    plain = all(one.type.kind() == "TensorType" for one in arguments) and len(arguments) == len(schema.arguments) - 1
    if plain and (kind.kind() == "TensorType" or (kind.kind() == "TupleType" and len(places) == len(kind.elements()))):
        return module
    around = torch.nn.Module()
    around.module = module
    outer = torch.jit.script(around)
    result = places[0] if len(places) == 1 else f"({', '.join(places)})"
    outer.define(
        f"def forward(self, {', '.join(f'{name}: Tensor' for name in taken)}):\n"
        f"    result = self.module.forward({', '.join(passed)})\n"
        f"    return {result}\n"
    )
    # A dict or tuple that is made and at once taken apart again goes away: not every toolchain reads dicts.
    torch._C._jit_pass_inline(outer.graph)
    torch._C._jit_pass_peephole(outer.graph, False)
    return outer.eval()


class TorchScript(SourceFormat):
    """A module that torch.jit.save wrote."""

    name = Format.TORCHSCRIPT
    modules = ("torch",)
    onnx_modules = ("torch", "onnx", "onnxscript")
    packages = ("torch", "onnxscript", "onnx")

    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session:
        module = load_module(source)
        return TorchSession(module, source.signature, setting, remade=bool(written(module)))

    def _to_onnx_impl(self, piece: Workpiece) -> Source:
        return from_module(load_module(piece.source), piece)

    def _runtime_impl(self) -> str:
        return runtime()


def _rebuilt(kind: Any, name: str) -> tuple[str, list[str]]:
    """The expression that makes an argument of tensors, and the tensors' names."""
    if kind.kind() == "TensorType":
        return name, [name]
    if kind.kind() in _SCALARS:
        return f"{_SCALARS[kind.kind()]}({name})", [name]
    if kind.kind() != "TupleType":
        raise ModelUnreadable(f"the forward's argument '{name}' is a {kind.annotation_str}, not a tensor")
    parts = [_rebuilt(inner, f"{name}_{number}") for number, inner in enumerate(kind.elements())]
    return f"({' '.join(f'{value},' for value, _ in parts)})", [one for _, names in parts for one in names]


def _places(kind: Any, value: str, module: Any) -> Iterator[str]:
    """The expressions of the tensors in a result."""
    if kind.kind() == "TensorType":
        yield value
    elif kind.kind() == "TupleType":
        for number, inner in enumerate(kind.elements()):
            yield from _places(inner, f"{value}[{number}]", module)
    elif kind.kind() == "DictType" and value == "result":
        graph = module.inlined_graph  # held: its nodes die with it
        made_by = next(graph.outputs()).node()
        if made_by.kind() != "prim::DictConstruct":
            raise ModelUnreadable("the keys of the dict that the module returns are not constants")
        keys = [one.toIValue() for one in list(made_by.inputs())[::2]]
        yield from (f"{value}[{key!r}]" for key in keys)
    elif kind.kind() != "NoneType":
        raise ModelUnreadable(f"the module returns a {kind.annotation_str}, not a tensor")


FORMAT = TorchScript()
