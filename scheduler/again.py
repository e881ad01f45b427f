"""What a job that was submitted before asks for, as a request that can be submitted again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from enginehouse.errors import EnginehouseError, RequestError
from enginehouse.gates import Gates
from enginehouse.request import JobChanges, JobRequest, Recipe, fields_of
from enginehouse.targets import Target
from scheduler import auto
from scheduler.registry.tables import Build, Job


@dataclass(frozen=True)
class Again:
    """Where a job comes from. By request key: ``notes`` is what its builds say, ``avoid`` who shall not take them."""

    job: str
    notes: Mapping[str, str] = field(default_factory=dict)
    avoid: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def mark(self, builds: Sequence[Build]) -> None:
        """Let new builds say where they come from."""
        for build in builds:
            build.note = self.notes.get(build.request_key, f"cloned from {self.job}")
            build.avoid = list(self.avoid.get(build.request_key, ()))


def fields_again(job: Job, builds: Sequence[Build], pools: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a request for these of the job's builds. What they are made from is the same for all of them.

    ``pools``: an ``auto`` that was spread over these is asked for as it was, not at the pools where it went.
    """
    recipes = [Recipe.model_validate(build.recipe) for build in builds]
    gates = [Gates.model_validate(build.gates) for build in builds]
    bare = [auto.ungated(recipe.target, own) for recipe, own in zip(recipes, gates, strict=True)]
    targets = auto.gathered(bare, pools)
    common = {name: value for name, value in fields_of(recipes[0]).items() if name != "targets"}
    # A build is not measured against itself, so what the job named is what its builds name together.
    named = {str(one): one.model_dump(mode="json") for recipe in recipes for one in recipe.baselines}
    own = {
        _short(target): own.model_dump(mode="json", exclude_none=True)
        for build, target, own in zip(builds, targets, gates, strict=True)
        if build.gates != job.gates
    }
    return {
        **common,
        "targets": list({target.model_dump_json(): target.model_dump(mode="json") for target in targets}.values()),
        "baselines": list(named.values()),
        "dataset": job.dataset_name,
        "gates": job.gates,
        "target_gates": own,
        "ladder": job.ladder,
        "limits": job.limits,
        "priority": job.priority,
        "name": job.name,
    }


def changed(fields: Mapping[str, Any], changes: JobChanges) -> dict[str, Any]:
    """The fields with what was said in their place."""
    given = changes.given()
    found = dict(fields)
    if "observed_shapes" in given:
        found.pop("profiles", None)
    for name, value in given.items():
        found.pop(name, None)
        if value is not None:
            found[name] = value
    if changes.targets is not None and "target_gates" not in given:
        kept = {_short(target) for target in changes.targets}
        found["target_gates"] = {name: own for name, own in found["target_gates"].items() if name in kept}
    return found


def request_from(fields: Mapping[str, Any]) -> JobRequest:
    """The request. Raises RequestError, which names the fields that contradict each other."""
    try:
        return JobRequest.model_validate(dict(fields))
    except ValidationError as error:
        found = []
        cls: type[EnginehouseError] = RequestError
        for item in error.errors(include_url=False, include_input=False):
            cause = getattr(item.get("ctx", {}).get("error"), "__cause__", None)
            cls = type(cause) if isinstance(cause, RequestError) else cls
            found.append({"place": ".".join(map(str, item["loc"])) or "body", "says": item["msg"]})
        raise cls("; ".join(f"{one['place']}: {one['says']}" for one in found), fields=found) from None


def _short(target: Target) -> str:
    return str(target.model_copy(update={"requires": tuple(sorted(set(target.requires)))}))
