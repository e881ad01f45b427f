"""What our code uses of TensorRT's and CUDA's Python surface, read from its syntax. Pure: source text in, uses out.

A use is a name ('trt.BuilderFlag.TF32'), a member of an object, a call with its arguments, or a method that a subclass
of ours overrides. Which class an object is of is told by its variable's name: the folder keeps to one name per class.
"""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MODULES = ("trt", "cudart")

CLASSES = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "tensor": "ITensor",
    "parser": "OnnxParser",
    "error": "ParserError",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "context": "IExecutionContext",
    "refitter": "Refitter",
    "parser_refitter": "OnnxParserRefitter",
}
"""Variable or attribute (``self.engine``) to the TensorRT class that it holds."""

FILES = ("builder_config.py", "convert.py", "device.py", "engine.py", "explain.py", "messages.py", "run.py",
         "timing_cache.py", "versions.py")  # fmt: skip
"""Those that touch TensorRT or CUDA. The others are pure: they import neither."""


@dataclass(frozen=True)
class Use:
    """One use. ``owner``: 'trt', 'cudart' or a class; ``name``: dotted. A call has a number of arguments, and names."""

    place: str
    owner: str
    name: str
    kind: str
    positional: int | None = None
    keywords: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def uses_of_folder(folder: Path) -> list[Use]:
    """All uses in the backend's folder."""
    return [use for name in FILES for use in uses(ast.parse((folder / name).read_text()), name)]


def uses(tree: ast.AST, file: str) -> list[Use]:
    """The uses in one file."""
    visitor = _Visitor(file)
    visitor.visit(tree)
    return visitor.found


class _Visitor(ast.NodeVisitor):
    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Use] = []
        self._called: set[int] = set()

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and (target := _target(node.func)) is not None:
            self._called.add(id(node.func))
            unbound = target[1].endswith("__init__")  # trt.IProfiler.__init__(self)
            self._add(node, *target, "call", node.args[unbound:], node.keywords)
        elif isinstance(node.func, ast.Name) and node.func.id == "call" and node.args:
            function = node.args[0]  # call(cudart.f, …): our wrapper gives the arguments on
            if isinstance(function, ast.Attribute) and (target := _target(function)) is not None:
                self._called.add(id(function))
                self._add(node, *target, "call", node.args[1:], node.keywords)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        target = _target(node)
        if target is None:
            self.generic_visit(node)
            return
        if id(node) not in self._called:
            self._add(node, *target, "set" if isinstance(node.ctx, ast.Store) else "name")
        if target[0] not in MODULES:
            self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            if isinstance(base, ast.Attribute) and (target := _target(base)) is not None and target[0] == "trt":
                for member in node.body:
                    private = isinstance(member, ast.FunctionDef) and member.name.startswith("_")
                    if (
                        isinstance(member, ast.FunctionDef)
                        and not private
                        and member.name not in _OWN.get(target[1], ())
                    ):
                        self._add(member, target[1], member.name, "override", member.args.args[1:])
        self.generic_visit(node)

    def _add(self, node: Any, owner: str, name: str, kind: str, args: Any = None, keywords: Any = ()) -> None:
        count = None if args is None else len(args)
        named = tuple(one.arg for one in keywords if one.arg)
        self.found.append(Use(f"{self.file}:{node.lineno}", owner, name, kind, count, named))


_OWN = {"ILogger": {"forget", "why", "failure"}}
"""Public methods of our subclasses that TensorRT is not meant to call. Every other one must be an override."""


def _target(node: ast.Attribute) -> tuple[str, str] | None:
    """Owner and dotted name of an attribute, where its object is known."""
    parts: list[str] = []
    value: ast.expr = node
    while isinstance(value, ast.Attribute):
        parts.insert(0, value.attr)
        value = value.value
    if isinstance(value, ast.Name) and value.id in MODULES:
        return value.id, ".".join(parts)
    holder = node.value
    held = holder.id if isinstance(holder, ast.Name) else holder.attr if isinstance(holder, ast.Attribute) else None
    if held in CLASSES:
        return CLASSES[held], node.attr
    return None
