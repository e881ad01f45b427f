"""The signature of a TorchScript archive (.pt), read from its code and its pickles as data. Nothing of it is run.

TorchScript seldom says more than 'Tensor'. Shapes and types are known where torch.jit.trace left its example inputs;
otherwise the rank is unknown, indices (looked up by embedding, gather and the like) are taken for int64, and all else
for the type that most weights have.
"""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from enginehouse.errors import ModelExecutesCode, ModelUnreadable
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.torch_program import Path as Place
from enginehouse.torch_program import output_names
from scheduler.inspection.pickled import Called, Global, Stored, read_pickle, walk
from scheduler.inspection.text import clean
from scheduler.inspection.torch_archive import TorchArchive, open_archive
from scheduler.inspection.torchscript_code import Code

_DTYPES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip
_FLOATS = ("float32", "float64", "float16", "bfloat16")
_SCALARS = {"int": "int64", "float": "float32", "bool": "bool"}
_MAX_RANK = 64
_MAX_LISTED = 10_000
_ADVICE = "Wrap the module in one whose forward takes and returns tensors, and save that."


def read(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """The signature. ``files``: path in the upload and where it lies now; the first is the model itself.

    Raises ModelUnreadable, ModelExecutesCode (a pickle of Python objects in TorchScript's clothes), TooLarge.
    """
    with open_archive(files[0][1]) as archive:
        module = read_pickle(archive.read("data.pkl"))
        owner = module.what.name if isinstance(module, Called) and isinstance(module.what, Global) else ""
        if not owner.startswith("__torch__."):
            raise ModelExecutesCode(
                f"the archive's data.pkl makes '{clean(owner)}', which is no TorchScript module",
                advice="Save a TorchScript module with torch.jit.save, or better, export with torch.export.save.",
            )
        return _signature(archive, Code(_texts(archive)), owner, _tensors(module))


def _signature(archive: TorchArchive, code: Code, owner: str, tensors: list[tuple[str, list[int]]]) -> ModelSignature:
    arguments, returns = code.arguments(owner, "forward")
    summary = code.summary(owner, "forward")
    weights = Counter[str]()
    for dtype, shape in tensors:
        weights[dtype] += math.prod(shape)
    usual = max(_FLOATS, key=lambda dtype: weights[dtype])  # the first, float32, where there are none
    inputs = []
    for argument in arguments:
        if argument.default:
            continue  # it keeps its default
        for name, kind in _flat(argument.type, argument.name):
            if kind != "Tensor":
                inputs.append(TensorSpec(name=name, dtype=_SCALARS[kind], shape=[]))
            else:
                indexed = argument.name in summary.indices
                inputs.append(TensorSpec(name=name, dtype="int64" if indexed else usual, shape=[None]))
    names = [spec.name for spec in inputs]
    places = list(_returned(returns, (), code, summary.keys))
    if not places:
        raise ModelUnreadable("the module's forward returns no tensor", advice=_ADVICE)
    outputs = [TensorSpec(name=name, dtype=usual, shape=[None]) for name in output_names(places, names)]
    for what, specs in (("inputs", inputs), ("outputs", outputs)):
        if len(specs) > _MAX_LISTED:
            raise ModelUnreadable(f"the module has {len(specs)} {what}; the farm reads {_MAX_LISTED}")
    if any(not spec.name or clean(spec.name, 500) != spec.name for spec in [*inputs, *outputs]):
        raise ModelUnreadable("a name is empty, too long or has control characters", advice=_ADVICE)
    counted = sorted(summary.operators.items(), key=lambda item: (-item[1], item[0]))
    return ModelSignature(
        format=str(Format.TORCHSCRIPT),
        producer=f"torchscript {clean(archive.text('version'), 20) if 'version' in archive.sizes else ''}".rstrip(),
        inputs=_traced(archive, inputs),
        outputs=outputs,
        operators={clean(name): count for name, count in counted[:_MAX_LISTED]},
        parameters=sum(weights.values()),
    )


def _texts(archive: TorchArchive) -> dict[str, str]:
    """Dotted module to the text of its code."""
    return {
        name.removeprefix("code/").removesuffix(".py").replace("/", "."): archive.text(name)
        for name in archive.sizes
        if name.startswith("code/__torch__") and name.endswith(".py")
    }


def _tensors(value: Any) -> list[tuple[str, list[int]]]:
    """Type and shape of every tensor of a pickled value; one that several names share counts once."""
    found = {}
    for part in walk(value):
        tensor = _tensor(part)
        if tensor is not None:
            stored = part.args[0].key
            found[(str(stored[2]), str(part.args[1]), str(tensor[1]))] = tensor
    return list(found.values())


def _tensor(part: Any) -> tuple[str, list[int]] | None:
    """Type and shape of a tensor as torch pickles it: rebuild(storage, offset, sizes, strides, ...)."""
    if not isinstance(part, Called) or not isinstance(part.args, tuple) or len(part.args) < 3:
        return None
    stored, _, sizes = part.args[:3]
    if not isinstance(stored, Stored) or not isinstance(stored.key, tuple) or len(stored.key) < 5:
        return None
    kind = stored.key[1]
    fits = isinstance(sizes, tuple) and len(sizes) <= _MAX_RANK and all(type(dim) is int and dim >= 0 for dim in sizes)
    if not isinstance(kind, Global) or not fits:
        return None
    return _DTYPES.get(kind.name.rpartition(".")[2], "undefined"), list(sizes)


def _traced(archive: TorchArchive, inputs: list[TensorSpec]) -> list[TensorSpec]:
    """The inputs with the types and shapes of the examples that the trace was made with, if they are there."""
    if "traced_inputs.pkl" not in archive.sizes:
        return inputs
    kept = read_pickle(archive.read("traced_inputs.pkl"))
    for part in walk(kept):
        if isinstance(part, dict) and "forward" in part:
            examples = list(_examples(part["forward"]))
            tensors = [spec for spec in inputs if spec.shape == [None]]
            if len(examples) == len(tensors) == len(inputs):
                return [
                    TensorSpec(name=spec.name, dtype=dtype, shape=list(shape))
                    for spec, (dtype, shape) in zip(inputs, examples, strict=True)
                ]
    return inputs


def _examples(value: Any) -> Iterator[tuple[str, list[int]]]:
    """Types and shapes of the tensors of a nested value, in their order."""
    tensor = _tensor(value)
    if tensor is not None:
        yield tensor
    elif isinstance(value, Called) and isinstance(value.args, tuple) and value.args:
        yield from _examples(value.args[0])  # restore_type_tag(value, type)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _examples(part)


def _flat(kind: ast.expr | None, name: str) -> Iterator[tuple[str, str]]:
    """Name and type ('Tensor' or a scalar's) of each value that an argument stands for."""
    text = _text(kind)
    if text == "Tensor" or text in _SCALARS:
        yield name, text
        return
    parts = _tuple(kind)
    if parts is None:
        raise ModelUnreadable(
            f"the forward's argument '{clean(name)}' is a {clean(text, 80)}, neither a tensor nor a tuple of tensors",
            advice=_ADVICE,
        )
    for key, part in parts:
        yield from _flat(part, f"{name}_{key}")


def _returned(kind: ast.expr | None, path: Place, code: Code, keys: list[str] | None) -> Iterator[Place]:
    """The place of each tensor that is returned."""
    text = _text(kind)
    if text == "Tensor":
        yield path
        return
    if text == "NoneType":
        return
    if text == "Dict[str, Tensor]" and not path:
        if keys is None:
            raise ModelUnreadable(
                "the keys of the dict that the module returns cannot be read from its code", advice=_ADVICE
            )
        yield from ((key,) for key in keys)
        return
    parts = _parts(kind, code)
    if parts is None:
        raise ModelUnreadable(f"the module returns a {clean(text, 80)}, which is no tensor", advice=_ADVICE)
    for key, part in parts:
        yield from _returned(part, (*path, key), code, None)


def _parts(kind: ast.expr | None, code: Code) -> list[tuple[str | int, ast.expr]] | None:
    """The parts of a tuple or named tuple; None for another type."""
    fields = code.fields(_text(kind))
    return _tuple(kind) if fields is None else list(fields)


def _tuple(kind: ast.expr | None) -> list[tuple[str | int, ast.expr]] | None:
    """The parts of a plain tuple; None for another type."""
    if not isinstance(kind, ast.Subscript) or _text(kind.value) != "Tuple":
        return None
    inner = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
    return list(enumerate(inner))


def _text(kind: ast.expr | None) -> str:
    return "Tensor" if kind is None else ast.unparse(kind)
