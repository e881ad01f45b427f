"""The signature of a LiteRT (TensorFlow Lite) model, read from its flatbuffer. Nothing is run.

Field numbers are those of tflite/schema/schema.fbs (github.com/google-ai-edge/LiteRT, Apache License 2.0).
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from enginehouse.errors import ExternalDataMissing, ModelExecutesCode, ModelUnreadable
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature, TensorSpec
from scheduler.inspection.flatbuffer import Table, root
from scheduler.inspection.text import clean
from scheduler.inspection.tflite_flops import flops
from scheduler.inspection.tflite_operators import BUILTIN, CUSTOM, TYPES

_CODES, _SUBGRAPHS, _DESCRIPTION, _BUFFERS, _METADATA, _SIGNATURES, _EXTERNAL = 1, 2, 3, 4, 6, 7, 8
_ANEW = "Convert the model again with the LiteRT converter."
_MAX_LISTED = 10_000
_MAX_RANK = 64
_PLACEHOLDER = 127
_RUNS = re.compile(r"Flex((Eager)?PyFunc(Stateless)?|ReadFile|WriteFile|MatchingFiles)")
_WEIGHTS = frozenset(TYPES) - {"int32", "int64", "bool", "string", "resource", "variant"}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph. ``shape``: what it has when dynamic sizes are 1; ``signature``: with -1 for these."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    buffer: int
    scaled: bool


def read(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """Inspect a model. ``files``: path in the upload and where it lies now; the first is the model itself.

    Inputs and outputs are those of the first subgraph, in its order. They bear the names of its signature where the
    model has exactly one, else those of their tensors. Raises ModelUnreadable or one of its kinds.
    """
    path = files[0][1]
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(root(data))
    except (ValueError, IndexError, struct.error, OverflowError):
        raise ModelUnreadable("the file is not a LiteRT model, or is cut off or damaged", advice=_ANEW) from None


def _read(model: Table) -> ModelSignature:
    if model.count(_EXTERNAL):
        raise ExternalDataMissing(
            "the model's weights lie in other files, which no reader of .tflite files beside LiteRT's own takes",
            advice="Convert the model again with its weights inside.",
        )
    codes = [_operator(code) for code in model.tables(_CODES)]
    graphs = list(model.tables(_SUBGRAPHS))
    tensors = [[_tensor(tensor) for tensor in graph.tables(0)] for graph in graphs]
    operators = Counter(codes[node.number(0, "I")] for graph in graphs for node in graph.tables(3))
    _refuse_code(operators)
    ins, outs = graphs[0].numbers(1, "i"), graphs[0].numbers(2, "i")
    named_in, named_out = _signature(model)
    taken = set[str]()
    return ModelSignature(
        format=str(Format.TFLITE),
        producer=clean(" ".join(filter(None, ("tflite", *_producer(model))))),
        inputs=list(_specs(tensors[0], ins, named_in, "input", taken)),
        outputs=list(_specs(tensors[0], outs, named_out, "output", taken)),
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))[:_MAX_LISTED]),
        parameters=_parameters(model, tensors),
        flops=flops(codes, graphs, tensors),
    )


def _operator(code: Table) -> str:
    """The newer field has the number where it does not fit into the older one."""
    number = max(code.number(0, "b"), code.number(3, "i"))
    if number == CUSTOM:
        return clean(code.text(1)) or "CUSTOM"
    return BUILTIN[number] if 0 <= number < len(BUILTIN) and number != _PLACEHOLDER else f"BUILTIN_{number}"


def _tensor(table: Table) -> Tensor:
    shape = table.numbers(0, "i")
    if len(shape) > _MAX_RANK:
        raise ModelUnreadable(f"a tensor has {len(shape)} dimensions")
    kind = table.number(1, "b")
    scale = table.table(4)
    return Tensor(
        name=table.text(3),
        dtype=TYPES[kind] if 0 <= kind < len(TYPES) else "undefined",
        shape=shape,
        signature=table.numbers(7, "i") or shape,
        buffer=table.number(2, "I"),
        scaled=scale is not None and scale.count(2) > 0,
    )


def _refuse_code(operators: Mapping[str, int]) -> None:
    found = next((name for name in operators if _RUNS.fullmatch(name)), None)
    if found:
        raise ModelExecutesCode(
            f"the model has the operator {found}: it runs Python code or reads and writes files",
            advice="Convert the model with built-in operators only.",
            operator=found,
        )


def _signature(model: Table) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Names by tensor, of inputs and of outputs; none unless there is one signature, of the first subgraph."""
    found: tuple[dict[int, list[str]], dict[int, list[str]]] = ({}, {})
    if model.count(_SIGNATURES) != 1:
        return found
    (signature,) = model.tables(_SIGNATURES)
    if signature.number(4, "I"):
        return found
    for field, names in enumerate(found):
        for entry in signature.tables(field):
            names.setdefault(entry.number(1, "I"), []).append(entry.text(0))
    return found


def _specs(
    tensors: Sequence[Tensor], indices: Sequence[int], named: dict[int, list[str]], what: str, taken: set[str]
) -> Iterator[TensorSpec]:
    """One for each place of the subgraph's list. A name that is taken gets _1, _2 …; a place without one its number."""
    if len(indices) > _MAX_LISTED:
        raise ModelUnreadable(f"the model has {len(indices)} {what}s; the farm reads {_MAX_LISTED}")
    for place, index in enumerate(indices):
        if index < 0:
            raise ModelUnreadable(f"{what} {place} is no tensor", advice=_ANEW)
        tensor = tensors[index]
        wanted = named[index].pop(0) if named.get(index) else tensor.name
        if not wanted or clean(wanted, 500) != wanted:  # what is shown must be what is fed
            wanted = f"{what}_{place}"
        name, number = wanted, 0
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        shape: list[int | str | None] = [size if size >= 0 else None for size in tensor.signature]
        yield TensorSpec(name=name, dtype=tensor.dtype, shape=shape)


def _producer(model: Table) -> Iterator[str]:
    """The description, and the runtime's version that the converter found to be enough."""
    yield clean(model.text(_DESCRIPTION), 60)
    for entry in model.tables(_METADATA):
        if entry.text(0) == "min_runtime_version":
            number, buffers = entry.number(1, "I"), list(model.tables(_BUFFERS))
            version = bytes(buffers[number].numbers(0, "B")[:20]).rstrip(b"\0").decode("ascii", "replace")
            yield f"(runtime {version} or newer)" if version else ""


def _parameters(model: Table, tensors: Sequence[Sequence[Tensor]]) -> int:
    """Elements of the constant tensors that are weights, each buffer once; quantised biases are 32-bit integers."""
    held = [buffer.count(0) or buffer.number(2, "Q") for buffer in model.tables(_BUFFERS)]
    counted: dict[int, int] = {}
    for tensor in (one for graph in tensors for one in graph):
        filled = tensor.buffer > 0 and held[tensor.buffer] > 0
        if filled and (tensor.dtype in _WEIGHTS or (tensor.dtype == "int32" and tensor.scaled)):
            count = math.prod(max(size, 0) for size in tensor.shape)
            counted[tensor.buffer] = max(counted.get(tensor.buffer, 0), count if count > 1 else 0)
    return sum(counted.values())
