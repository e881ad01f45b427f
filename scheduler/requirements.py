"""Whether a request can be built at all, against what workers have announced. Pure.

What nobody offers *yet* (a known toolchain, a hardware tag, what a constraint asks for) is no error: such a build
waits, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from enginehouse.baselines import against
from enginehouse.capability import Capability
from enginehouse.errors import (
    BaselineNotOffered,
    BoundsRequired,
    DatasetRequired,
    DatasetTooSmall,
    EnginehouseError,
    InvalidOption,
    UnknownBackend,
    UnknownPrecision,
    UnsupportedFormat,
)
from enginehouse.quantization import FEWEST_SAMPLES, needs_dataset
from enginehouse.shapes import Profile, Shapes, unbounded
from enginehouse.signature import ModelSignature
from enginehouse.targets import AUTO, BACKENDS, Target
from scheduler.cachekey import with_defaults
from scheduler.placement import PoolState, place


@dataclass(frozen=True)
class Given:
    """What a job brings along for its targets. ``samples``: of its dataset, None where it has none."""

    signature: ModelSignature
    samples: int | None = None
    shapes: Shapes = field(default_factory=dict)
    profiles: Sequence[Profile] = ()


def check_target(target: Target, given: Given, announced: Sequence[Capability]) -> None:
    """Raise the error that names what is wrong; ``announced`` is everything any worker ever offered."""
    offers = [found for found in announced if found.backend == target.backend]
    if not offers:
        if target.backend in (*BACKENDS, AUTO):
            return
        known = sorted({*BACKENDS, AUTO, *(found.backend for found in announced)})
        raise UnknownBackend(f"'{target.backend}' is not one of {', '.join(known)}", target=str(target))
    precise = [found for found in offers if target.precision in found.precisions]
    if not precise:
        known = sorted({str(p) for found in offers for p in found.precisions})
        raise UnknownPrecision(
            f"{target.backend} is offered in {', '.join(known)}, not in '{target.precision}'", target=str(target)
        )
    model_format = given.signature.format
    reading = [found for found in precise if model_format in found.formats]
    if not reading:
        formats = sorted({name for found in precise for name in found.formats})
        raise UnsupportedFormat(
            f"{target.backend} takes {', '.join(formats)}, not {model_format}", target=str(target), format=model_format
        )
    for check in (_options, _samples, _bounds):
        _some(reading, lambda found, check=check: check(target, given, found))  # type: ignore[misc]


def check_baselines(target: Target, baselines: Sequence[Target], given: Given, known: Sequence[PoolState]) -> None:
    """Raise the error that names a baseline that no worker can build beside the target.

    ``known``: every pool that was ever announced. Where none of them takes the target itself, its build waits for one.
    """
    wanted = against(target, baselines)
    for one in wanted:
        check_target(one, given, [found for pool in known for found in pool.capabilities])
    able = place(target, given.signature.format, known).pools
    if not able or place(target, given.signature.format, able, wanted).pools:
        return
    alone = [str(one) for one in wanted if not any(pool.builds(one, given.signature.format) for pool in able)]
    what = f"no worker that offers {target} offers"
    raise BaselineNotOffered(
        f"{what} {alone[0]}" if alone else f"{what} all of {', '.join(map(str, wanted))}",
        target=str(target),
        baselines=alone or [str(one) for one in wanted],
    )


def without_unknown(options: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the schema has and takes."""
    kept = {name: value for name, value in options.items() if name in schema.get("properties", {})}
    refused = {str(error.absolute_path[0]) for error in _complaints(kept, schema) if error.absolute_path}
    return {name: value for name, value in kept.items() if name not in refused}


def _complaints(options: Mapping[str, Any], schema: Mapping[str, Any]) -> list[ValidationError]:
    return sorted(Draft202012Validator(schema).iter_errors(options), key=str)


def _some(offers: Sequence[Capability], check: Callable[[Capability], None]) -> None:
    """One of the offers must do: the first one's complaint is raised when all complain."""
    complaints: list[EnginehouseError] = []
    for found in offers:
        try:
            check(found)
        except EnginehouseError as error:
            complaints.append(error)
        else:
            return
    raise complaints[0]


def _options(target: Target, given: Given, capability: Capability) -> None:
    del given
    errors = _complaints(target.options, capability.options_schema)
    if errors:
        place = ".".join(str(step) for step in errors[0].absolute_path)
        complaint = f"option {place}: {errors[0].message}" if place else errors[0].message
        raise InvalidOption(f"{target}: {complaint}", target=str(target))


def _samples(target: Target, given: Given, capability: Capability) -> None:
    if not needs_dataset(target.precision, with_defaults(target.options, capability.options_schema)):
        return
    if given.samples is None:
        raise DatasetRequired(
            f"{target} takes its ranges from samples, and the job names no dataset", target=str(target)
        )
    if given.samples < FEWEST_SAMPLES:
        raise DatasetTooSmall(
            f"{target} takes its ranges from samples; the dataset has {given.samples}, it needs {FEWEST_SAMPLES}",
            target=str(target),
        )


def _bounds(target: Target, given: Given, capability: Capability) -> None:
    if not capability.bounds:
        return
    names = unbounded(given.signature.inputs, given.shapes, given.profiles)
    if names:
        raise BoundsRequired(
            f"{target.backend} needs bounds for {', '.join(names)}", target=str(target), dimensions=names
        )
