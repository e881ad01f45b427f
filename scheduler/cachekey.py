"""The keys under which results are found again. Pure functions over bytes' hashes; never names, never structure.

Two keys, because the pool is not known while a build waits:

- the *request key* names what is asked for; builds with equal request keys may share one execution;
- the *cache key* names what is built: recipe, toolchain versions, hardware class, pipeline version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from enginehouse.bundle import canonical_json
from enginehouse.capability import Capability
from enginehouse.request import Recipe
from enginehouse.targets import Target

SCHEME = 1
"""Raise it when the meaning of a key's parts changes: every older artifact is then built anew."""


def with_defaults(options: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Options with the schema's defaults written out, so that saying a default changes nothing."""
    defaults = {
        name: entry["default"]
        for name, entry in schema.get("properties", {}).items()
        if isinstance(entry, dict) and "default" in entry
    }
    return {**defaults, **options}


def request_key(recipe: Recipe) -> str:
    """SHA-256 (hex) of what is asked for."""
    parts = _parts(recipe)
    if others := recipe.against():
        parts["baselines"] = [one.model_dump(mode="json") for one in _in_order(others)]
    return _digest({"scheme": SCHEME, "recipe": parts})


def cache_key(
    recipe: Recipe, capability: Capability, hardware_class: str, pipeline: str, beside: Sequence[Capability] = ()
) -> str:
    """SHA-256 (hex) of what is built by a worker with this capability.

    The required hardware tags are left out: they chose the hardware class, which is in the key itself.
    ``beside``: everything that the worker announces, for the baselines that the artifact is measured against.
    """
    parts = _parts(recipe)
    parts["target"].pop("requires")
    parts["target"]["options"] = with_defaults(recipe.target.options, capability.options_schema)
    whole = {
        "scheme": SCHEME,
        "recipe": parts,
        "toolchain": dict(sorted(capability.toolchain.items())),
        "hardware_class": hardware_class,
        "pipeline": pipeline,
    }
    if others := recipe.against():
        announced = {one.backend: one for one in (*beside, capability)}
        parts["baselines"] = [_baseline(one, announced.get(one.backend)) for one in _in_order(others)]
    return _digest(whole)


def _parts(recipe: Recipe) -> dict[str, Any]:
    """The recipe without its baselines: where it is measured against none, they are not in the key."""
    return recipe.model_dump(mode="json", exclude={"baselines"})


def _in_order(baselines: Sequence[Target]) -> list[Target]:
    return sorted(baselines, key=str)


def _baseline(target: Target, capability: Capability | None) -> dict[str, Any]:
    """What the figures of a baseline depend on."""
    schema, toolchain = (capability.options_schema, capability.toolchain) if capability else ({}, {})
    return {
        "name": str(target),
        "options": with_defaults(target.options, schema),
        "toolchain": dict(sorted(toolchain.items())),
    }


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
