"""What a torch.export program takes and gives. Pure: the program's JSON in, which ``torch_checks`` has seen."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.errors import ModelUnreadable
from enginehouse.torch_checks import shown

_SEQUENCES = ("builtins.tuple", "builtins.list")
_MAPPINGS = ("builtins.dict", "collections.OrderedDict")
_CONSTANTS = ("as_none", "as_int", "as_float", "as_string", "as_bool")
_DEEPEST = 50
_LONGEST_SYMBOL = 50

Path = tuple[str | int, ...]
"""The way from a result to one of its tensors: keys of dicts, positions in tuples and lists."""


@dataclass(frozen=True)
class Slot:
    """One place among a program's inputs or outputs. ``value``: the graph's tensor, or None for a constant."""

    value: str | None
    path: Path


def operators(program: Any) -> Iterator[str]:
    """The target of each node, those of subgraphs included: 'torch.ops.aten.conv2d.default'."""
    stack = [program["graph_module"]["graph"]]
    while stack:
        graph = stack.pop()
        for node in graph["nodes"]:
            yield node["target"]
            for argument in node["inputs"]:
                stack.extend(inner["graph"] for kind, inner in argument["arg"].items() if kind == "as_graph")


def inputs(program: Any) -> list[Slot]:
    """The program's inputs in their order. Raises ModelUnreadable for one that is neither tensor nor constant."""
    found = []
    for spec in program["graph_module"]["signature"]["input_specs"]:
        ((kind, content),) = spec.items()
        if kind == "constant_input":
            found.append(Slot(None, (content["name"],)))
        elif kind == "user_input":
            found.append(_slot(content["arg"], (), "input"))
        elif kind not in ("parameter", "buffer", "tensor_constant"):
            raise ModelUnreadable(f"the program has an input of the kind '{shown(kind)}', not a tensor")
    return found


def outputs(program: Any) -> list[Slot]:
    """The program's outputs in their order, each with its place in the result. Raises as ``inputs`` does."""
    kinds = [next(iter(spec.items())) for spec in program["graph_module"]["signature"]["output_specs"]]
    returned = [content["arg"] for kind, content in kinds if kind == "user_output"]
    paths = leaves(_call(program)["out_spec"])
    if len(paths) != len(returned):
        raise ModelUnreadable(f"the program returns {len(returned)} values where its structure has {len(paths)}")
    return [_slot(argument, path, "output") for argument, path in zip(returned, paths, strict=True)]


def leaves(spec: str) -> list[Path]:
    """The places of the leaves of a pytree that torch serialised. Raises ModelUnreadable for other classes in it."""
    version, tree = json.loads(spec)
    if version != 1:
        raise ModelUnreadable(f"the structure of inputs or outputs is of version {shown(version)}, not 1")
    found: list[Path] = []

    def walk(node: Any, path: Path) -> None:
        kind, children = node["type"], node["children_spec"]
        if kind is None and not children:
            found.append(path)
            return
        if kind not in _SEQUENCES + _MAPPINGS or len(path) > _DEEPEST:
            raise ModelUnreadable(
                f"inputs or outputs are held in '{shown(kind)}', which only the program that wrote it knows",
                advice="Give and return tensors in tuples, lists or dicts, and export again.",
            )
        keys: Sequence[Any] = json.loads(node["context"]) if kind in _MAPPINGS else range(len(children))
        if len(keys) != len(children) or not all(isinstance(key, str | int) for key in keys):
            raise ModelUnreadable("inputs or outputs are held in a dict whose keys are not names")
        for key, child in zip(keys, children, strict=True):
            walk(child, (*path, key))

    walk(tree, ())
    return found


def output_names(paths: Sequence[Path], taken: Iterable[str]) -> list[str]:
    """A name for each output: the keys on its way; 'output' and positions where there are none. No two are alike.

    ``taken``: the inputs' names.
    """
    used, found = set(taken), []
    for path in paths:
        parts = [str(part) for part in path]
        if not path or not isinstance(path[0], str):
            parts = ["output"] if len(paths) == 1 else ["output", *parts]
        name = base = "_".join(parts) or "output"
        number = 2
        while name in used:
            name, number = f"{base}_{number}", number + 1
        used.add(name)
        found.append(name)
    return found


def size(dim: Any) -> int | str | None:
    """A dimension as the JSON has it: a size, a symbol or short expression ('2*s0'), or None where it is neither."""
    if "as_int" in dim:
        return int(dim["as_int"])
    text = _written(ast.parse(dim["as_expr"]["expr_str"], mode="eval").body)
    return text if text is not None and len(text) <= _LONGEST_SYMBOL else None


def _call(program: Any) -> Any:
    """The signature of the program as it is called from Python."""
    for entry in program["graph_module"]["module_call_graph"]:
        if entry["fqn"] == "" and entry["signature"]:
            return entry["signature"]
    raise ModelUnreadable("the program does not say how it is called")


def _slot(argument: Any, path: Path, what: str) -> Slot:
    ((kind, content),) = argument.items()
    if kind == "as_tensor":
        return Slot(content["name"], path)
    if kind in _CONSTANTS:
        return Slot(None, path)
    raise ModelUnreadable(
        f"the program has an {what} that is no tensor ({shown(kind).removeprefix('as_')})",
        advice=f"Make the {what} a tensor (torch.tensor(n) instead of n), and export again.",
    )


def _written(node: ast.expr) -> str | None:
    """An expression in few characters; None for what is not plain arithmetic."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        return ast.unparse(node).replace(" ", "")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    parts = [_written(one) for one in node.args]
    words = [part for part in parts if part is not None]
    if len(words) != len(parts) or not words:
        return None
    kind = node.func.id
    if kind in ("Symbol", "Integer"):
        return words[0]
    if kind == "Add":
        return "+".join(words).replace("+-", "-")
    if kind == "Mul":
        return "*".join(f"({word})" if re.search(r".[+-]", word) else word for word in words)
    if kind == "FloorDiv" and len(words) == 2:
        return "//".join(f"({word})" if re.search(r"\W", word) else word for word in words)
    return None
