"""Message classes from a .proto file: a reader of proto2's syntax as far as our files use it.

So that neither a compiler nor generated code is needed: messages, enums and fields with ``default`` and ``packed``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_WORD = re.compile(r'\s+|//[^\n]*|("[^"\n]*"|[\w.+-]+|[{}\[\]=;,])')

_Field = descriptor_pb2.FieldDescriptorProto
_LABELS = {"optional": _Field.LABEL_OPTIONAL, "repeated": _Field.LABEL_REPEATED}
_SCALARS = {
    name: getattr(_Field, f"TYPE_{name.upper()}")
    for name in ("bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64")
}


def messages(path: Path) -> dict[str, Any]:
    """The file's top-level messages by name, as classes. They live in a pool of their own: nothing can clash.

    Raises ValueError where the file is written otherwise.
    """
    file = descriptor_pb2.FileDescriptorProto(name=path.name, syntax="proto2")
    words = _words(path.read_text(encoding="utf-8"))
    for word in words:
        if word == "syntax":
            _take(words, 3)
        elif word == "package":
            file.package = next(words)
            _expect(words, ";")
        elif word == "message":
            _message(words, file.message_type.add())
        elif word == "enum":
            _enum(words, file.enum_type.add())
        else:
            raise ValueError(f"{path.name}: unexpected {word!r}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    described = pool.FindFileByName(path.name)
    return {
        name: message_factory.GetMessageClass(described.message_types_by_name[name])
        for name in described.message_types_by_name
    }


def _words(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if not found:
            raise ValueError(f"unexpected {text[at]!r} at {at}")
        at = found.end()
        if found[1]:
            yield found[1]


def _message(words: Iterator[str], made: Any) -> None:
    made.name = next(words)
    _expect(words, "{")
    for word in words:
        if word == "}":
            return
        if word == "enum":
            _enum(words, made.enum_type.add())
        else:
            _field(words, made.field.add(), word)


def _enum(words: Iterator[str], made: Any) -> None:
    made.name = next(words)
    _expect(words, "{")
    for word in words:
        if word == "}":
            return
        _expect(words, "=")
        made.value.add(name=word, number=int(next(words)))
        _expect(words, ";")


def _field(words: Iterator[str], made: Any, label: str) -> None:
    made.label = _LABELS[label]
    kind = next(words)
    if kind in _SCALARS:
        made.type = _SCALARS[kind]
    else:
        made.type_name = kind
    made.name = next(words)
    _expect(words, "=")
    made.number = int(next(words))
    for word in words:
        if word == ";":
            return
        if word in {"default", "packed"}:
            _expect(words, "=")
            value = next(words)
            if word == "default":
                made.default_value = value
            else:
                made.options.packed = value == "true"
        elif word not in "[],":
            raise ValueError(f"field {made.name}: unexpected {word!r}")


def _expect(words: Iterator[str], wanted: str) -> None:
    if (word := next(words)) != wanted:
        raise ValueError(f"expected {wanted!r}, found {word!r}")


def _take(words: Iterator[str], count: int) -> None:
    for _ in range(count):
        next(words)
