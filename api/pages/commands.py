"""A request as somebody would write it by hand: as a command, as Python, as curl. Pure.

Each of them submits exactly this request: a test runs them and compares what the farm got.
"""

from __future__ import annotations

import json
import pprint
import shlex
from typing import Any

from enginehouse.baselines import SOURCE
from enginehouse.request import JobRequest, Limits
from enginehouse.targets import Target

_WIDTH = 88


def as_command(request: JobRequest) -> str:
    """``enginehouse submit``, an option a line."""
    words = [["enginehouse", "submit", request.model]]
    words += [["-t", str(target)] for target in request.targets]
    for target in _one_of_each_backend(request):
        words += [["--option", f"{target.backend}.{key}={_json(value)}"] for key, value in target.options.items()]
    if request.dataset:
        words.append(["--dataset", request.dataset])
    words += [["--gate", gate] for gate in _gates(request.gates.model_dump(exclude_none=True))]
    for name, own in request.target_gates.items():
        words += [["--gate", f"{name}.{gate}"] for gate in _gates(own.model_dump(exclude_none=True))]
    words += [["--baseline", str(one)] for one in request.baselines]
    words += [["--shape", f"{name}={_dims(shape)}"] for name, shape in request.shapes.items()]
    for name, span in (request.profiles[0] if request.profiles else {}).items():
        words.append(["--profile", f"{name}={_dims(span.min)}:{_dims(span.opt)}:{_dims(span.max)}"])
    words += _switches(request)
    if request.name:
        words.append(["--name", request.name])
    return " \\\n  ".join(" ".join(map(shlex.quote, group)) for group in words)


def as_python(request: JobRequest, url: str) -> str:
    """With the client. The token comes from the environment, as for the command."""
    fields = _fields(request)
    told = "".join(
        f"        {name}={pprint.pformat(value, width=_WIDTH, sort_dicts=False).replace(chr(10), chr(10) + ' ' * 8)},\n"
        for name, value in fields.items()
    )
    return (
        "from enginehouse import Client\n\n"
        f"with Client({url!r}) as farm:\n"
        f"    job = farm.jobs.submit(\n{told}    )\n"
        "    for build in farm.jobs.wait(job).builds:\n"
        "        print(build.target, build.state)\n"
    )


def as_curl(request: JobRequest, url: str) -> str:
    """With curl. The token comes from the environment."""
    body = json.dumps(_fields(request), ensure_ascii=False, indent=2)
    return (
        f"curl --fail-with-body {shlex.quote(url + '/v1/jobs')} \\\n"
        '  -H "Authorization: Bearer $ENGINEHOUSE_TOKEN" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}"
    )


def _fields(request: JobRequest) -> dict[str, Any]:
    """The fields that are not as they are by default; targets in short form where they have no options."""
    fields = request.model_dump(mode="json", exclude_defaults=True)
    for name in ("targets", "baselines"):
        if name in fields:
            fields[name] = [_short(target) for target in getattr(request, name)]
    if "gates" in fields:
        fields["gates"] = request.gates.model_dump(mode="json", exclude_none=True)
    return fields


def _short(target: Target) -> Any:
    return target.model_dump(mode="json", exclude_defaults=True) if target.options else str(target)


def _one_of_each_backend(request: JobRequest) -> list[Target]:
    return list({target.backend: target for target in reversed(request.targets)}.values())[::-1]


def _gates(gates: dict[str, Any]) -> list[str]:
    found = []
    for name, bound in gates.items():
        if isinstance(bound, dict):
            found += [f"{name}={_number(one) if of == SOURCE else f'{of}:{_number(one)}'}" for of, one in bound.items()]
        else:
            found.append(f"{name}={_number(bound)}")
    return found


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))


def _switches(request: JobRequest) -> list[list[str]]:
    usual = Limits()
    found = []
    for wanted, words in (
        (request.ladder, ["--ladder"]),
        (request.priority != "normal", ["--priority", str(request.priority)]),
        (request.limits.time_s != usual.time_s, ["--time-limit", f"{request.limits.time_s}s"]),
        (request.limits.memory_mb != usual.memory_mb, ["--memory-limit", f"{request.limits.memory_mb}M"]),
        (not request.verify, ["--no-verify"]),
        (not request.benchmark, ["--no-benchmark"]),
        (request.seed != 0, ["--seed", str(request.seed)]),
    ):
        if wanted:
            found.append(words)
    return found


def _dims(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape))


def _json(value: Any) -> str:
    """Text as it is, unless it would be read as something else."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, ensure_ascii=False)
