"""The form of a submission: its fields as a request, and a request as its fields. Pure.

Names of fields: ``target`` and ``baseline`` (several times), ``option:BACKEND:KEY``, ``shape:INPUT``, ``min:INPUT``,
``opt:INPUT``, ``max:INPUT``, ``gate:NAME``, ``over:BASELINE``, and those of the request itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.problems import invalid
from enginehouse.baselines import SOURCE
from enginehouse.errors import EnginehouseError, RequestError
from enginehouse.gates import Gates
from enginehouse.request import JobRequest, Sha256
from enginehouse.targets import Target, parse_target

GATES = tuple(name for name in Gates.model_fields)
"""Bounds that the form has a field for."""


class SubmissionForm(BaseModel):
    """What a browser sends of the form. Fields of options, shapes and gates have names of their own: see the module."""

    model_config = ConfigDict(extra="allow")

    model: Sha256
    target: list[str] = Field(default_factory=list, max_length=64)
    baseline: list[str] = Field(default_factory=list, max_length=64)
    requires: str = Field(default="", max_length=1000)
    dataset: str = Field(default="", max_length=200)
    shaped: str = "model"
    ladder: bool = False
    verify: bool = False
    benchmark: bool = False
    priority: str = "normal"
    time_min: str = ""
    memory_mb: str = ""
    seed: str = ""
    name: str = Field(default="", max_length=200)

    def group(self, head: str) -> dict[str, str]:
        """The fields whose names begin with ``head:``, by the rest of their names."""
        extra = self.model_extra or {}
        own = {name.partition(":")[2]: str(value) for name, value in extra.items() if name.startswith(head + ":")}
        return {name: value.strip() for name, value in own.items() if value.strip()}


@dataclass(frozen=True)
class Filled:
    """What the form's fields hold when it is drawn."""

    targets: frozenset[str] = frozenset()
    baselines: frozenset[str] = frozenset()
    fields: Mapping[str, str] = field(default_factory=dict)
    ladder: bool = False
    verify: bool = True
    benchmark: bool = True

    def get(self, name: str, default: str = "") -> str:
        """The text of a field."""
        return self.fields.get(name, default)


def blank(name: str) -> Filled:
    """A form that nobody has touched, for a model of that name."""
    return Filled(fields={"name": name, "priority": "normal", "shaped": "model"})


def filled(form: SubmissionForm) -> Filled:
    """The fields as they were sent, to be drawn again."""
    own = form.model_dump(exclude={"target", "baseline", "ladder", "verify", "benchmark", "model"})
    return Filled(
        targets=frozenset(form.target),
        baselines=frozenset(form.baseline),
        fields={name: str(value) for name, value in own.items()},
        ladder=form.ladder,
        verify=form.verify,
        benchmark=form.benchmark,
    )


def again(request: JobRequest) -> Filled:
    """The fields of a form that asks for the same; what the form has no field for is left out."""
    fields = {
        "name": request.name,
        "dataset": request.dataset or "",
        "priority": request.priority.value,
        "time_min": f"{request.limits.time_s / 60:g}",
        "memory_mb": str(request.limits.memory_mb),
        "seed": str(request.seed) if request.seed else "",
        "shaped": "range" if request.profiles else "one" if request.shapes else "model",
    }
    for target in request.targets:
        fields |= {f"option:{target.backend}:{key}": _text(value) for key, value in target.options.items()}
        fields["requires"] = " + ".join(target.requires)
    fields |= {f"shape:{name}": _listed(shape) for name, shape in request.shapes.items()}
    for name, span in (request.profiles[0] if request.profiles else {}).items():
        fields |= {f"{bound}:{name}": _listed(getattr(span, bound)) for bound in ("min", "opt", "max")}
    for name, bound in request.gates.model_dump(exclude_none=True).items():
        if not isinstance(bound, dict):
            fields[f"gate:{name}"] = f"{bound:g}"
        elif name == "min_speedup":
            fields |= {f"over:{of}" if of != SOURCE else "gate:min_speedup": f"{one:g}" for of, one in bound.items()}
    return Filled(
        targets=frozenset(str(target.model_copy(update={"requires": ()})) for target in request.targets),
        baselines=frozenset(str(one) for one in request.baselines),
        fields=fields,
        ladder=request.ladder,
        verify=request.verify,
        benchmark=request.benchmark,
    )


def request_of(form: SubmissionForm, schemas: Mapping[str, Mapping[str, Any]]) -> JobRequest:
    """The request that the form stands for. ``schemas``: by backend, the JSON schema of its options.

    Raises RequestError, or the error of a target that cannot be read, naming the field.
    """
    if not form.target:
        raise RequestError("no target is chosen", advice="Choose what to build: a backend and a precision, or auto.")
    options = options_of(form, schemas)
    requires = [term.strip() for term in form.requires.split("+") if term.strip()]
    targets = [_target(text, requires, options) for text in form.target]
    fields: dict[str, Any] = {
        "model": form.model,
        "targets": targets,
        "gates": _gates(form),
        "baselines": [parse_target(text) for text in form.baseline],
        "ladder": form.ladder,
        "verify": form.verify,
        "benchmark": form.benchmark,
        "priority": form.priority,
        "limits": _limits(form),
        "name": form.name,
        **shapes_of(form),
    }
    if form.dataset:
        fields["dataset"] = form.dataset
    if form.seed:
        fields["seed"] = _number(form.seed, "seed", whole=True)
    try:
        return JobRequest.model_validate(fields)
    except ValidationError as error:
        raise invalid(error, "form") from None


def options_of(form: SubmissionForm, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By backend, the options that were given a value."""
    found: dict[str, dict[str, Any]] = {}
    for name, text in form.group("option").items():
        backend, _, key = name.partition(":")
        schema = resolved(schemas.get(backend, {}), schemas.get(backend, {}).get("properties", {}).get(key, {}))
        found.setdefault(backend, {})[key] = _value(text, schema, f"{backend}.{key}")
    return found


def shapes_of(form: SubmissionForm) -> dict[str, Any]:
    """``shapes`` or ``profiles``, by what was chosen; the others' fields are not looked at."""
    if form.shaped == "one":
        return {"shapes": {name: _shape(text, name) for name, text in form.group("shape").items()}}
    if form.shaped != "range":
        return {}
    bounds = {bound: form.group(bound) for bound in ("min", "opt", "max")}
    names = list(dict.fromkeys(name for group in bounds.values() for name in group))
    profile = {}
    for name in names:
        missing = [bound for bound, group in bounds.items() if name not in group]
        if missing:
            raise RequestError(
                f"shape of '{name}': {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} left out",
                advice="Give the smallest, the usual and the largest shape.",
                field=f"{missing[0]}:{name}",
            )
        profile[name] = {bound: _shape(group[name], name) for bound, group in bounds.items()}
    return {"profiles": [profile] if profile else []}


def resolved(schema: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """An option's schema with what it refers to, and without the alternative of being null."""
    if "$ref" in own:
        name = str(own["$ref"]).rpartition("/")[2]
        return {**schema.get("$defs", {}).get(name, {}), **{key: one for key, one in own.items() if key != "$ref"}}
    arms = [arm for arm in own.get("anyOf", []) if arm.get("type") != "null"]
    if len(arms) == 1:
        return {**resolved(schema, arms[0]), **{key: one for key, one in own.items() if key != "anyOf"}}
    return own


def _target(text: str, requires: Sequence[str], options: Mapping[str, dict[str, Any]]) -> Target:
    target = parse_target("@".join(filter(None, (text, "+".join(requires)))))
    return target.model_copy(update={"options": options.get(target.backend, {})})


def _value(text: str, schema: Mapping[str, Any], where: str) -> Any:
    """The value of an option: text where its schema says so, else JSON."""
    kinds = schema.get("type")
    if kinds == "string" or all(isinstance(one, str) for one in schema.get("enum", [0])):
        return text
    if kinds == "array" and not text.startswith("["):
        text = json.dumps([_scalar(one.strip()) for one in text.split(",") if one.strip()])
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        if kinds is None:
            return text
        wanted = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list"}
        said = wanted.get(str(kinds), "JSON")
        raise RequestError(f"option {where}: '{text}' is not {said}", field=f"option:{where}") from None


def _scalar(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(name: str) -> None:
    raise ValueError(name)


def _gates(form: SubmissionForm) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in form.group("gate").items():
        if name not in GATES:
            raise RequestError(f"there is no gate '{name}'", field=f"gate:{name}")
        found[name] = _number(text, name, whole=name == "max_bytes")
    over = {name: _number(text, f"speed-up over {name}") for name, text in form.group("over").items()}
    if over:
        source = {SOURCE: found["min_speedup"]} if "min_speedup" in found else {}
        found["min_speedup"] = {**source, **over}
    return found


def _limits(form: SubmissionForm) -> dict[str, Any]:
    found: dict[str, int | float] = {}
    if form.time_min:
        found["time_s"] = round(_number(form.time_min, "time limit") * 60)
    if form.memory_mb:
        found["memory_mb"] = _number(form.memory_mb, "memory limit", whole=True)
    return found


def _number(text: str, where: str, *, whole: bool = False) -> int | float:
    try:
        found = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise RequestError(f"{where}: '{text}' is not a number", field=where)
    if whole and not found.is_integer():
        raise RequestError(f"{where}: '{text}' is not a whole number", field=where)
    return int(found) if found.is_integer() else found


def _shape(text: str, name: str) -> list[int]:
    """``1, 3, 224, 224``, also with a times sign or x between the sizes; 'scalar' has none."""
    if text.lower() == "scalar":
        return []
    parts = [part.strip() for part in text.lower().replace("\u00d7", ",").replace("x", ",").strip("[]() ").split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < len(part) < 10 for part in parts):
        raise RequestError(
            f"shape of '{name}': '{text}' is not a list of whole numbers",
            advice="Write it like 1, 3, 224, 224.",
            field=f"shape:{name}",
        )
    return [int(part) for part in parts]


def _listed(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape)) or "scalar"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def said(error: EnginehouseError) -> dict[str, Any]:
    """What a page shows of an error beside a form."""
    return {"title": error.title, "detail": error.detail, "advice": error.hint, "code": error.code}
