"""Whether a target is written for a backend that exists, against what workers have announced. Pure.

What nobody offers *yet* (a known toolchain, a hardware tag) is no error: such a build waits, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from jsonschema import Draft202012Validator

from enginehouse.capability import Capability
from enginehouse.errors import InvalidOption, UnknownBackend, UnknownPrecision, UnsupportedFormat
from enginehouse.targets import BACKENDS, Target


def check_target(target: Target, model_format: str, announced: Sequence[Capability]) -> None:
    """Raise the TargetError that names what is wrong; ``announced`` is everything any worker ever offered."""
    offers = [found for found in announced if found.backend == target.backend]
    if not offers:
        if target.backend in BACKENDS:
            return
        known = sorted({*BACKENDS, *(found.backend for found in announced)})
        raise UnknownBackend(f"'{target.backend}' is not one of {', '.join(known)}", target=str(target))
    precise = [found for found in offers if target.precision in found.precisions]
    if not precise:
        known = sorted({str(p) for found in offers for p in found.precisions})
        raise UnknownPrecision(
            f"{target.backend} is offered in {', '.join(known)}, not in '{target.precision}'", target=str(target)
        )
    reading = [found for found in precise if model_format in found.formats]
    if not reading:
        formats = sorted({name for found in precise for name in found.formats})
        raise UnsupportedFormat(
            f"{target.backend} takes {', '.join(formats)}, not {model_format}", target=str(target), format=model_format
        )
    complaints = [_complaint(target, found) for found in reading]
    if all(complaints):
        raise InvalidOption(f"{target}: {complaints[0]}", target=str(target))


def _complaint(target: Target, capability: Capability) -> str | None:
    errors = sorted(Draft202012Validator(capability.options_schema).iter_errors(target.options), key=str)
    if not errors:
        return None
    place = ".".join(str(step) for step in errors[0].absolute_path)
    return f"option {place}: {errors[0].message}" if place else errors[0].message
