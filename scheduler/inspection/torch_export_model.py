"""The signature of a torch.export program (.pt2), read from its JSON. No tensor is loaded, nothing is unpickled."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from enginehouse import torch_program
from enginehouse.errors import ModelExecutesCode, ModelUnreadable
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.torch_checks import ADVICE, check_members, check_payload, check_program
from scheduler.inspection.pickled import globals_of
from scheduler.inspection.text import clean
from scheduler.inspection.torch_archive import TorchArchive, open_archive
from scheduler.inspection.torch_flops import flops

# torch/_export/serde/schema.py, ScalarType
_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn",
    30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz", 33: "float8_e8m0fnu", 34: "uint32", 35: "uint64",
}  # fmt: skip
_MAX_RANK = 64
_MAX_LISTED = 10_000
_LEGACY = "serialized_exported_program.json"
_LEGACY_PICKLES = ("serialized_state_dict.pt", "serialized_constants.pt")
_TABLES = (
    ("data/weights/", "data/weights/model_weights_config.json", "data/weights/model.pt"),
    ("data/constants/", "data/constants/model_constants_config.json", "data/constants/model.pt"),
)
"""Folder, its table, and the pickle that torch 2.8 wrote instead."""
_PLAIN = re.compile(
    r"torch\._utils\._rebuild_(tensor(_v2|_v3)?|parameter)|collections\.OrderedDict|torch\.(\w+Storage|Size|device)"
    r"|torch\.serialization\._get_layout|torch\.(b?float|int|uint|complex)\d+"
)


def read(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """The signature. ``files``: path in the upload and where it lies now; the first is the model itself.

    Raises ModelUnreadable, ModelExecutesCode (what torch would run while it loads the file), TooLarge.
    """
    with open_archive(files[0][1]) as archive:
        program = json.loads(_graph(archive))
        check_program(program)
        return _signature(program)


def _graph(archive: TorchArchive) -> str:
    """The program's JSON; everything beside it is checked."""
    check_members(archive.sizes)
    if _LEGACY in archive.sizes:
        for name in _LEGACY_PICKLES:
            _check_pickle(archive, name)
        return archive.text(_LEGACY)
    models = [name for name in archive.sizes if name.startswith("models/")]
    if models != ["models/model.json"]:
        listed = ", ".join(clean(name) for name in models[:5]) or "none"
        raise ModelUnreadable(
            f"the archive holds the programs {listed}; the farm takes one, 'models/model.json'",
            advice="Save one program with torch.export.save(program, 'model.pt2').",
        )
    for folder, table, pickle in _TABLES:
        if pickle in archive.sizes:
            _check_pickle(archive, pickle)
            continue
        missing = [
            name for name in check_payload(json.loads(archive.text(table))) if folder + name not in archive.sizes
        ]
        if missing:
            raise ModelUnreadable(f"the archive lacks {folder}{missing[0]}")
    return archive.text("models/model.json")


def _check_pickle(archive: TorchArchive, name: str) -> None:
    """Raise ModelExecutesCode unless a file that torch.save wrote holds tensors alone."""
    with archive.stream(name) as file:
        names = globals_of(file)
    for found in sorted(names):
        if not _PLAIN.fullmatch(found):
            raise ModelExecutesCode(f"'{name}' is a pickle that loads {clean(found)}", advice=ADVICE)


def _signature(program: Any) -> ModelSignature:
    values = program["graph_module"]["graph"]["tensor_values"]
    fed = [slot.value for slot in torch_program.inputs(program) if slot.value is not None]
    given = [slot for slot in torch_program.outputs(program) if slot.value is not None]
    names = torch_program.output_names([slot.path for slot in given], fed)
    if not given:
        raise ModelUnreadable(
            "the program returns no tensor", advice="Return what the model computes, and export again."
        )
    if any(not name or clean(name, 500) != name for name in names):
        raise ModelUnreadable(
            "an output's name is empty, too long or has control characters", advice="Rename the keys of the result."
        )
    operators = Counter(_short(target) for target in torch_program.operators(program))
    return ModelSignature(
        format=str(Format.TORCH_EXPORT),
        producer=clean(f"torch {program['torch_version']}"),
        opsets={clean(domain): int(version) for domain, version in program["opset_version"].items()},
        inputs=[_spec(name, values[name]) for name in _few(fed, "inputs")],
        outputs=[_spec(name, values[slot.value]) for name, slot in zip(_few(names, "outputs"), given, strict=True)],
        operators=dict(sorted(_few(operators.items(), "operator types"), key=lambda item: (-item[1], item[0]))),
        parameters=_parameters(program, values),
        flops=flops(program),
    )


def _parameters(program: Any, values: Any) -> int:
    """Elements of parameters, buffers and constant tensors."""
    total = 0
    for spec in program["graph_module"]["signature"]["input_specs"]:
        ((kind, content),) = spec.items()
        if kind in ("parameter", "buffer", "tensor_constant"):
            sizes = [torch_program.size(dim) for dim in values[content["arg"]["name"]]["sizes"]]
            total += math.prod(dim if isinstance(dim, int) else 0 for dim in sizes[:_MAX_RANK])
    return total


def _short(target: str) -> str:
    """'aten.conv2d' of 'torch.ops.aten.conv2d.default'."""
    parts = target.removeprefix("torch.ops.").removeprefix("_").split(".")
    return ".".join(parts[:2])


def _spec(name: str, meta: Any) -> TensorSpec:
    if len(meta["sizes"]) > _MAX_RANK:
        raise ModelUnreadable(f"'{name}' has {len(meta['sizes'])} dimensions")
    shape = [torch_program.size(dim) for dim in meta["sizes"]]
    return TensorSpec(name=name, dtype=_DTYPES.get(meta["dtype"], "undefined"), shape=shape)


def _few(items: Iterable[Any], what: str) -> list[Any]:
    found = list(items)
    if len(found) > _MAX_LISTED:
        raise ModelUnreadable(f"the program has {len(found)} {what}; the farm reads {_MAX_LISTED}")
    return found
