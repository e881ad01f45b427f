"""A pickle as data: what it would call and with what, and none of it called.

Opcodes are decoded by ``pickletools``, which runs nothing; ``Called`` stands for whatever a real unpickler would make.
"""

from __future__ import annotations

import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from enginehouse.errors import ModelUnreadable

_MOST_OPCODES = 20_000_000
_MOST_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Global:
    """A class or function by its dotted name."""

    name: str


@dataclass
class Called:
    """What calling ``what`` with ``args`` would make, and the state that it would be given."""

    what: Any
    args: Any
    state: Any = None


@dataclass
class Stored:
    """A persistent id: torch's place of a tensor's bytes."""

    key: Any


class _Mark:
    pass


def read_pickle(data: bytes) -> Any:
    """The pickle's value. Raises ModelUnreadable for bytes that are no pickle, or one with unusual opcodes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a stranger's escapes in strings
            return _value(data)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError):
        raise ModelUnreadable("a pickle in the archive is broken") from None


def _value(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if number > _MOST_OPCODES:
            raise ModelUnreadable("a pickle in the archive has too many parts")
        if opcode.name == "STOP":
            (value,) = stack
            return value
        _step(opcode.name, argument, stack, memo)
    raise ModelUnreadable("a pickle in the archive is cut off")


def globals_of(file: IO[bytes]) -> set[str]:
    """Dotted names of all that a file of torch.save would load. Raises ModelUnreadable for one that is no zip."""
    if not file.read(1):
        return set()
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            (name,) = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
            with archive.open(name) as stream:
                data = stream.read(_MOST_BYTES)
    except (zipfile.BadZipFile, ValueError):
        raise ModelUnreadable("a file in the archive is not as torch.save writes it") from None
    return {one.name for one in walk(read_pickle(data)) if isinstance(one, Global)}


def walk(value: Any) -> Iterator[Any]:
    """Every part of a value once, itself included."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, dict):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            stack += item
        elif isinstance(item, Called):
            stack += [item.what, item.args, item.state]
        elif isinstance(item, Stored):
            stack.append(item.key)


def _marked(stack: list[Any]) -> list[Any]:
    """What lies above the last mark; both are taken off."""
    at = len(stack) - 1
    while not isinstance(stack[at], _Mark):
        at -= 1
        if at < 0:
            raise IndexError
    items = stack[at + 1 :]
    del stack[at:]
    return items


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in _CONSTANTS:
        stack.append(_CONSTANTS[name]())
    elif name in _LITERALS:
        stack.append(argument)
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif name == "GLOBAL":
        stack.append(Global(argument.replace(" ", ".")))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(Global(f"{module}.{attribute}"))
    elif name in _TUPLES:
        count = _TUPLES[name]
        items = [stack.pop() for _ in range(count)][::-1]
        stack.append(tuple(items))
    elif name in ("TUPLE", "LIST", "FROZENSET"):
        items = _marked(stack)
        stack.append(tuple(items) if name == "TUPLE" else items)
    elif name == "DICT":
        items = _marked(stack)
        stack.append(dict(zip(items[::2], items[1::2], strict=True)))
    elif name in ("APPEND", "APPENDS", "ADDITEMS"):
        items = [stack.pop()] if name == "APPEND" else _marked(stack)
        stack[-1].extend(items)
    elif name in ("SETITEM", "SETITEMS"):
        items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else _marked(stack)
        _fill(stack[-1], items)
    elif name in ("REDUCE", "NEWOBJ"):
        arguments = stack.pop()
        stack.append(Called(stack.pop(), arguments))
    elif name == "NEWOBJ_EX":
        keywords, arguments = stack.pop(), stack.pop()
        stack.append(Called(stack.pop(), (arguments, keywords)))
    elif name == "BUILD":
        state = stack.pop()
        stack[-1].state = state
    elif name == "BINPERSID":
        stack.append(Stored(stack.pop()))
    elif name == "POP":
        stack.pop()
    elif name == "POP_MARK":
        _marked(stack)
    elif name == "DUP":
        stack.append(stack[-1])
    elif name not in ("PROTO", "FRAME"):
        raise ModelUnreadable(f"a pickle in the archive has the opcode {name}, which torch does not write")


def _fill(target: Any, items: list[Any]) -> None:
    """Set keys of a dict, or of an object that is called to be one (OrderedDict)."""
    if isinstance(target, Called):
        target.state = {} if not isinstance(target.state, dict) else target.state
        target = target.state
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[key if isinstance(key, str | int | float | bool | tuple) else id(key)] = value


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "MARK": _Mark,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_LITERALS = frozenset((
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINSTRING",
    "SHORT_BINSTRING", "STRING",
))  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
