"""TorchScript's code, read as text. It has Python's grammar; it is parsed and walked, and never run."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from enginehouse.errors import ModelUnreadable
from scheduler.inspection.text import clean

_INDEX_ARGUMENT = {"embedding": 1, "embedding_bag": 1, "index_select": 2, "gather": 2, "one_hot": 0}
"""Operators that look something up by an int64 tensor: which of their arguments that is."""
_SAME_TYPE = frozenset((
    "unsqueeze", "squeeze", "reshape", "view", "flatten", "slice", "select", "transpose", "permute", "contiguous",
    "t", "expand", "clone", "detach",
))  # fmt: skip
_BOOKKEEPING = frozenset(("format", "size", "dim", "len", "append", "warn"))
"""Functions of numbers, lists and strings that scripts are full of."""
_MOST_COUNTED = 10**12


@dataclass(frozen=True)
class Argument:
    """One argument of a method: its annotation, and whether it has a default."""

    name: str
    type: ast.expr | None
    default: bool


@dataclass
class Summary:
    """What one function does: operators (those of the functions that it calls included), the names of its arguments
    that serve as indices, and the keys of the dict that it returns."""

    operators: Counter[str] = field(default_factory=Counter)
    indices: set[str] = field(default_factory=set)
    keys: list[str] | None = None


class Code:
    """The code of an archive. ``files``: dotted module ('__torch__.a.b') to its text."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._parsed: dict[str, dict[str, ast.stmt]] = {}
        self._summaries: dict[int, Summary] = {}

    def arguments(self, owner: str, method: str) -> tuple[list[Argument], ast.expr | None]:
        """A method's arguments without 'self', and the annotation of what it returns. Raises ModelUnreadable."""
        function = self._method(owner, method)
        if function is None:
            raise ModelUnreadable(f"the module {clean(owner)} has no method '{method}'")
        listed = function.args.args[1:]
        bare = len(listed) - len(function.args.defaults)
        return [
            Argument(one.arg, one.annotation, number >= bare) for number, one in enumerate(listed)
        ], function.returns

    def fields(self, owner: str) -> list[tuple[str, ast.expr]] | None:
        """A NamedTuple's fields with their annotations; None for another class."""
        found = self._find(owner)
        if not isinstance(found, ast.ClassDef) or [_dotted(base) for base in found.bases] != ["NamedTuple"]:
            return None
        return list(_attributes(found))

    def summary(self, owner: str, method: str) -> Summary:
        """What a method does; an empty summary for one that is not in the archive."""
        function = self._method(owner, method)
        return self._summary(owner, function) if function is not None else Summary()

    # -- finding ------------------------------------------------------------------------------

    def _find(self, dotted: str) -> ast.stmt | None:
        """The class or function of a dotted name."""
        module, _, name = dotted.rpartition(".")
        if module not in self._parsed:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a stranger's escapes in strings
                tree = ast.parse(self._files.get(module, ""))
            self._parsed[module] = {
                one.name: one for one in tree.body if isinstance(one, ast.ClassDef | ast.FunctionDef)
            }
        return self._parsed[module].get(name)

    def _method(self, owner: str, name: str) -> ast.FunctionDef | None:
        found = self._find(owner)
        if not isinstance(found, ast.ClassDef):
            return None
        return next((one for one in found.body if isinstance(one, ast.FunctionDef) and one.name == name), None)

    def _attribute(self, owner: str | None, name: str) -> str | None:
        """The dotted class of an object's attribute, where it is one of the archive's."""
        found = self._find(owner) if owner else None
        if not isinstance(found, ast.ClassDef):
            return None
        for attribute, annotation in _attributes(found):
            if attribute == name:
                dotted = _dotted(annotation)
                return dotted if dotted and dotted.startswith("__torch__.") else None
        return None

    # -- walking ------------------------------------------------------------------------------

    def _summary(self, owner: str | None, function: ast.FunctionDef) -> Summary:
        known = self._summaries.get(id(function))
        if known is None:
            # Kept before it is made: a function that calls itself finds the empty one.
            known = self._summaries[id(function)] = Summary()
            _Walk(self, owner, function, known).run()
        return known

    def callee(self, call: ast.Call, types: Mapping[str, str]) -> tuple[str | None, ast.FunctionDef] | None:
        """The archive's function that a call calls, and its class; ``types``: local names to dotted classes."""
        if isinstance(call.func, ast.Attribute):
            owner = self.class_of(call.func.value, types)
            method = self._method(owner, call.func.attr) if owner else None
            if method is not None:
                return owner, method
        dotted = types.get(call.func.id) if isinstance(call.func, ast.Name) else _dotted(call.func)
        found = self._find(dotted) if dotted and dotted.startswith("__torch__.") else None
        return (None, found) if isinstance(found, ast.FunctionDef) else None

    def class_of(self, value: ast.expr, types: Mapping[str, str]) -> str | None:
        """The dotted class of an expression, where it is one of the archive's."""
        if isinstance(value, ast.Name):
            return types.get(value.id)
        if isinstance(value, ast.Attribute):
            return self._attribute(self.class_of(value.value, types), value.attr)
        if isinstance(value, ast.Call) and _dotted(value.func) == "getattr" and len(value.args) == 2:
            name = value.args[1]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                return self._attribute(self.class_of(value.args[0], types), name.value)
        return None


class _Walk:
    """One pass over a function's statements, in their order."""

    def __init__(self, code: Code, owner: str | None, function: ast.FunctionDef, into: Summary) -> None:
        self._code = code
        self._function = function
        self._into = into
        self._arguments = {one.arg for one in function.args.args}
        self._types = {function.args.args[0].arg: owner} if owner and function.args.args else {}
        self._aliases = {name: name for name in self._arguments}
        self._dicts: dict[str, list[str] | None] = {}

    def run(self) -> None:
        for statement, expressions in _statements(self._function.body):
            for expression in expressions:
                for node in ast.walk(expression):
                    if isinstance(node, ast.Call):
                        self._call(node)
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                self._assign(statement.targets[0], statement.value)
            elif isinstance(statement, ast.Return) and statement.value is not None:
                self._into.keys = self._keys(statement.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if not isinstance(target, ast.Name):
            return
        for known in (self._types, self._aliases, self._dicts):
            known.pop(target.id, None)
        dotted = _dotted(value)
        kind = dotted if dotted and dotted.startswith("__torch__.") else self._code.class_of(value, self._types)
        if kind:
            self._types[target.id] = kind
        alias = self._alias(value)
        if alias:
            self._aliases[target.id] = alias
        self._dicts[target.id] = self._keys(value)

    def _call(self, call: ast.Call) -> None:
        counted = self._into.operators
        found = self._code.callee(call, self._types)
        if found is not None:
            inner = self._code._summary(*found)
            for name, count in inner.operators.items():
                counted[name] = min(counted[name] + count, _MOST_COUNTED)
            names = [one.arg for one in found[1].args.args][1 if found[0] else 0 :]
            passed = dict(zip(names, call.args, strict=False))
            passed.update({word.arg: word.value for word in call.keywords if word.arg})
            self._index(*(value for name, value in passed.items() if name in inner.indices))
            return
        dotted = _dotted(call.func) or ""
        space, _, name = dotted.rpartition(".")
        if space == "torch" and not name.startswith("__") and name not in _BOOKKEEPING:
            counted[f"aten.{name}"] += 1
            position = _INDEX_ARGUMENT.get(name)
            if position is not None and len(call.args) > position:
                self._index(call.args[position])
        elif space.startswith("ops.") and space != "ops.prim":
            counted[dotted.removeprefix("ops.")] += 1

    def _index(self, *values: ast.expr) -> None:
        self._into.indices.update(filter(None, map(self._alias, values)))

    def _alias(self, value: ast.expr) -> str | None:
        """The argument whose values an expression has, in another shape at most."""
        if isinstance(value, ast.Name):
            return self._aliases.get(value.id)
        if isinstance(value, ast.Call) and value.args:
            space, _, name = (_dotted(value.func) or "").rpartition(".")
            if space == "torch" and name in _SAME_TYPE:
                return self._alias(value.args[0])
        return None

    def _keys(self, value: ast.expr) -> list[str] | None:
        if isinstance(value, ast.Name):
            return self._dicts.get(value.id)
        if isinstance(value, ast.Dict):
            keys = [key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
            return keys if len(keys) == len(value.keys) else None
        if isinstance(value, ast.Call):
            found = self._code.callee(value, self._types)
            return self._code._summary(*found).keys if found else None
        return None


def _statements(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, list[ast.expr]]]:
    """All statements in their order, those of blocks included, each with the expressions of its own."""
    for statement in body:
        yield statement, [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.expr)]
        for inner in ("body", "orelse"):
            yield from _statements(getattr(statement, inner, []))


def _attributes(found: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """Names and annotations of a class's attributes; names that are no identifiers are written another way."""
    for one in found.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            yield one.target.id, one.annotation
        elif isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Subscript):
            name = one.targets[0].slice
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value, one.value


def _dotted(value: ast.expr) -> str | None:
    """'a.b.c' of an attribute chain."""
    parts = []
    while isinstance(value, ast.Attribute):
        parts.append(value.attr)
        value = value.value
    if not isinstance(value, ast.Name):
        return None
    return ".".join([value.id, *parts[::-1]])
