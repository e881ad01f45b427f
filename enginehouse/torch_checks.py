"""Whether loading a torch.export program could run code that its author put there.

Pure: the program's JSON in. A .pt2 archive is less harmless than it looks: torch evaluates shape expressions as
Python, pastes names into the code that it generates, looks operators up by any dotted name, and unpickles weights
that say so. What goes beyond that which torch.export writes for a plain graph is refused here, before torch sees it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from enginehouse.errors import ModelExecutesCode, ModelUnreadable

SCHEMA = 8
"""The major version of the schema that torch 2.5 and later write."""

_IDENTIFIER = re.compile(r"([A-Za-z_]\w*)?", re.ASCII)
_MEMBER = re.compile(r"[\w.\-:/+@ ]*")
_OPERATOR = re.compile(
    r"torch\.ops\.(?!__)\w+\.((?!__)\w+|__i?(and|or|xor|lshift|rshift)__)(\.(?!__)\w+)?"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|xor|not_|inv|invert"
    r"|lshift|rshift|getitem)"
    r"|math\.[a-z][a-z0-9]*"
    r"|torch\._?sym_[a-z]+",
    re.ASCII,
)
_FUNCTIONS = frozenset((
    "Symbol", "Dummy", "Integer", "Rational", "Float", "Half", "One", "Zero", "NegativeOne", "Add", "Mul", "Pow",
    "Max", "Min", "Mod", "Abs", "floor", "ceiling", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality",
    "StrictLessThan", "StrictGreaterThan", "LessThan", "GreaterThan", "And", "Or", "Not", "Xor", "ITE", "Piecewise",
    "ExprCondPair", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt",
    "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv",
    "IsNonOverlappingAndDenseIndicator", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat",
    "Identity", "log", "exp", "sqrt",
))  # fmt: skip
_ARITHMETIC = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.Call, ast.keyword, ast.Tuple, ast.UnaryOp, ast.USub, ast.UAdd,
    ast.Not, ast.Invert, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd,
    ast.BitOr, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.BoolOp, ast.And, ast.Or,
)  # fmt: skip
_LONGEST_EXPRESSION = 10_000
_TENSOR_NAMES = ("fqn", "parameter_name", "buffer_name", "tensor_constant_name", "user_input_name")
_NAMED = ("tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values", "as_string_to_argument")
"""Tables whose keys are the program's own names."""

ADVICE = (
    "Export the plain module again: torch.export.save(torch.export.export(model.eval(), example_inputs), 'model.pt2')."
)


def check_members(names: Iterable[str]) -> None:
    """Raise ModelExecutesCode when the archive (paths below its root) holds compiled or pickled parts."""
    for name in names:
        if name.startswith(("data/aotinductor/", "data/executorch/")) or name.endswith((".so", ".dll", ".dylib")):
            raise ModelExecutesCode(f"the archive holds compiled code ('{shown(name)}')", advice=ADVICE)
        if name.startswith("data/constants/") and name.rsplit("/", 1)[-1].startswith(("custom_obj_", "opaque_obj_")):
            raise ModelExecutesCode(f"the archive holds a pickled object ('{shown(name)}')", advice=ADVICE)


def check_payload(config: Any) -> list[str]:
    """The files ('weight_0') that a table of weights or constants names. Raises ModelExecutesCode if one is pickled."""
    entries = config["config"]
    for owner, entry in entries.items():
        if not _MEMBER.fullmatch(owner):
            raise ModelExecutesCode(f"a tensor's name holds code: '{shown(owner)}'", advice=ADVICE)
        if entry.get("use_pickle") is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise ModelExecutesCode(
                f"'{shown(owner)}' is pickled (a tensor subclass, such as quantised weights, or a custom object), "
                "and unpickling it would run whatever code is in it",
                advice=ADVICE,
            )
    return [entry["path_name"] for entry in entries.values()]


def check_program(program: Any) -> None:
    """Raise ModelUnreadable for another version of the schema, and ModelExecutesCode for what torch would run."""
    major = program["schema_version"]["major"]
    if major != SCHEMA:
        raise ModelUnreadable(
            f"the program has version {shown(major)} of torch.export's schema; the farm reads version {SCHEMA}",
            advice="Export it again with torch 2.5 or later.",
        )
    stack: list[Any] = [program["graph_module"]]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            for key, value in item.items():
                if key in _NAMED:
                    stack.extend(value.values())
                elif key != "metadata":
                    _check_entry(key, value)
                    stack.append(value)


def _check_entry(key: str, value: Any) -> None:
    if key in ("name", "as_name") and value is not None and not _matches(_IDENTIFIER, value):
        raise ModelExecutesCode(f"a name in the graph holds code: '{shown(value)}'", advice=ADVICE)
    if key in _TENSOR_NAMES and not _matches(_MEMBER, value):
        raise ModelExecutesCode(f"a tensor's name holds code: '{shown(value)}'", advice=ADVICE)
    if key in ("target", "as_operator") and not _matches(_OPERATOR, value):
        raise ModelExecutesCode(
            f"a node calls '{shown(value)}', which is no operator of a graph", advice=ADVICE, operator=shown(value)
        )
    if key in ("custom_obj", "as_custom_obj", "class_fqn"):
        raise ModelExecutesCode("the program uses an object of a custom class", advice=ADVICE)
    if key == "expr_str":
        _check_expression(value)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _check_expression(text: Any) -> None:
    """Raise ModelExecutesCode unless the text is arithmetic over symbols."""
    try:
        fits = (
            isinstance(text, str)
            and len(text) <= _LONGEST_EXPRESSION
            and all(_arithmetic(node) for node in ast.walk(ast.parse(text, mode="eval")))
        )
    except (ValueError, SyntaxError, RecursionError):
        fits = False
    if not fits:
        raise ModelExecutesCode(f"a shape is not written as arithmetic: '{shown(text)}'", advice=ADVICE)


def _arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Name):
        return _matches(_IDENTIFIER, node.id)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) or _matches(_IDENTIFIER, node.value)
    return isinstance(node, _ARITHMETIC)


def shown(text: Any, limit: int = 80) -> str:
    """A stranger's text, printable and short."""
    return "".join(char if char.isprintable() else " " for char in str(text)[:limit])
