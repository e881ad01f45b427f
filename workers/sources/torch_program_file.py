"""Loads a .pt2 archive. Nothing is unpickled but plain tensors, no example inputs, no compiled parts, no guards.

Torch's own ``torch.export.load`` falls back to full unpickling, and runs code that the archive holds as text. So the
program's JSON is checked first (``enginehouse.torch_checks``), flattened to tensors alone, and then given to the parts
of torch that build a program of it.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from enginehouse import torch_program
from enginehouse.errors import ModelExecutesCode, ModelUnreadable, UnsupportedOperator
from enginehouse.torch_checks import ADVICE, check_members, check_payload, check_program

_LEGACY = "serialized_exported_program.json"
_KEPT_METADATA = ("nn_module_stack", "stack_trace")
_TREE: dict[str, Any] = {"type": None, "context": None, "children_spec": []}


def read_program(path: Path) -> Any:
    """The program's JSON, checked. Raises ModelUnreadable, ModelExecutesCode."""
    program, _, _ = _parts(path, tensors=False)
    return program


def program_of(path: Path) -> Any:
    """The torch.export.ExportedProgram, flattened: see ``workers.sources.torch_export.load_program``."""
    from torch._export.serde import schema
    from torch._export.serde.serialize import ExportedProgramDeserializer, _bytes_to_dataclass

    program, weights, constants = _parts(path, tensors=True)
    _flatten(program)
    _check_known(program)
    described = _bytes_to_dataclass(schema.ExportedProgram, json.dumps(program).encode())
    return ExportedProgramDeserializer().deserialize(described, weights, constants, None)


def _parts(path: Path, tensors: bool) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The program's JSON, its weights, and its constants by name; the latter two where ``tensors`` are wanted."""
    import torch

    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ModelUnreadable("the file is no .pt2 archive")
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len({name.lower() for name in names}) < len(names):
                raise ModelUnreadable("the archive has two members of the same name")
            if _LEGACY in names:
                program = json.loads(archive.read(_LEGACY))
                check_program(program)
                kept = ("serialized_state_dict.pt", "serialized_constants.pt") if tensors else ()
                return program, *([_plain(archive.read(name)) for name in kept] or ({}, {}))
    reader = torch._C.PyTorchFileReader(str(path))
    names = reader.get_all_records()
    check_members(names)
    program = json.loads(reader.get_record("models/model.json"))
    check_program(program)
    if not tensors:
        return program, {}, {}
    return program, _table(reader, names, "weights"), _table(reader, names, "constants")


def _table(reader: Any, names: list[str], what: str) -> dict[str, Any]:
    """The tensors of data/weights or data/constants by name. Tensors that share bytes go on sharing them."""
    from torch._export.serde.schema import PayloadConfig
    from torch._export.serde.serialize import _dict_to_dataclass

    pickled = f"data/{what}/model.pt"
    if pickled in names:
        return _plain(reader.get_record(pickled))
    config = json.loads(reader.get_record(f"data/{what}/model_{what}_config.json"))
    files = {name: bytearray(reader.get_record(f"data/{what}/{name}")) for name in set(check_payload(config))}
    payload: Any = _dict_to_dataclass(PayloadConfig, config)
    return {owner: _tensor(entry, files[entry.path_name]) for owner, entry in payload.config.items()}


def _tensor(entry: Any, data: bytearray) -> Any:
    import torch
    from torch._export.serde.serialize import (
        deserialize_scalar_type,
        deserialize_size,
        deserialize_storage_offset,
        deserialize_stride,
    )

    meta = entry.tensor_meta
    dtype = deserialize_scalar_type(meta.dtype)
    stored = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    offset = deserialize_storage_offset(meta.storage_offset)
    tensor = stored.as_strided(deserialize_size(meta.sizes), deserialize_stride(meta.strides), offset)
    return torch.nn.Parameter(tensor, requires_grad=False) if entry.is_param else tensor


def _plain(data: bytes) -> dict[str, Any]:
    """A dict of tensors that torch.save wrote; anything else in it is refused."""
    import torch

    if not data:
        return {}
    try:
        found: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except Exception as error:  # noqa: BLE001 - whatever it is, it was no plain dict of tensors
        said = str(error).partition("\n")[0][:300]
        raise ModelExecutesCode(f"the archive pickles more than tensors: {said}", advice=ADVICE) from None
    return found


def _flatten(program: Any) -> None:
    """Leave tensors alone among inputs and outputs, taken by position and returned as one flat tuple; drop guards."""
    module = program["graph_module"]
    graph, signature = module["graph"], module["signature"]
    for specs, values, constant in (("input_specs", "inputs", _constant_input), ("output_specs", "outputs", _constant)):
        kept = [
            (spec, value)
            for spec, value in zip(signature[specs], graph[values], strict=True)
            if not constant(spec, value)
        ]
        signature[specs], graph[values] = [spec for spec, _ in kept], [value for _, value in kept]
    names = [slot.value for slot in torch_program.inputs(program)]
    count = sum("user_output" in spec for spec in signature["output_specs"])
    call = {
        "inputs": [],
        "outputs": [],
        "in_spec": _spec(_sequence(_sequence(*[_TREE] * len(names)), {**_sequence(), **_NO_WORDS})),
        "out_spec": _spec(_sequence(*[_TREE] * count)),
        "forward_arg_names": names,
    }
    fqns = [entry["fqn"] for entry in module["module_call_graph"] if entry["fqn"]]
    module["module_call_graph"] = [
        {"fqn": "", "signature": call},
        *({"fqn": fqn, "signature": None} for fqn in fqns),
    ]
    module["metadata"] = {}
    program["guards_code"] = []
    # Ranges of expressions follow from those of their symbols; torch fails on them when it decomposes what it loaded.
    ranges = program["range_constraints"]
    program["range_constraints"] = {key: value for key, value in ranges.items() if key.isidentifier()}
    for node in _nodes(graph):
        node["metadata"] = {key: node["metadata"][key] for key in _KEPT_METADATA if key in node["metadata"]}


_NO_WORDS = {"type": "builtins.dict", "context": "[]"}


def _sequence(*children: Any) -> dict[str, Any]:
    return {"type": "builtins.tuple", "context": "null", "children_spec": list(children)}


def _spec(tree: Any) -> str:
    return json.dumps([1, tree])


def _constant_input(spec: Any, value: Any) -> bool:
    return "constant_input" in spec or ("user_input" in spec and "as_tensor" not in value)


def _constant(spec: Any, value: Any) -> bool:
    return "user_output" in spec and "as_tensor" not in value


def _nodes(graph: Any) -> Any:
    for node in graph["nodes"]:
        yield node
        for argument in node["inputs"]:
            for kind, inner in argument["arg"].items():
                if kind == "as_graph":
                    yield from _nodes(inner["graph"])


def _check_known(program: Any) -> None:
    """Raise UnsupportedOperator for operators that torch does not have: those of a library, or of another version."""
    import torch

    missing: dict[str, list[str]] = {}
    for node in _nodes(program["graph_module"]["graph"]):
        if not node["target"].startswith("torch.ops."):
            continue
        found: Any = torch.ops
        for part in node["target"].split(".")[2:]:
            found = getattr(found, part, None)
        if found is None:
            name = str(node.get("name") or next(iter(node["outputs"]), {}))
            missing.setdefault(node["target"].removeprefix("torch.ops."), []).append(name)
    if missing:
        listed = ", ".join(missing)
        raise UnsupportedOperator(
            f"torch {torch.__version__} has no operator {listed}: it belongs to a library or to another version",
            operators=list(missing),
            nodes=[name for names in missing.values() for name in names],
        )
