"""The keys under which results are found again. Pure functions over bytes' hashes; never names, never structure.

Two keys, because the pool is not known while a build waits:

- the *request key* names what is asked for; builds with equal request keys may share one execution;
- the *cache key* names what is built: recipe, toolchain versions, hardware class, pipeline version.
"""

from __future__ import annotations

import hashlib
from typing import Any

from enginehouse.bundle import canonical_json
from enginehouse.capability import Capability
from enginehouse.request import Recipe

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
    return _digest({"scheme": SCHEME, "recipe": recipe.model_dump(mode="json")})


def cache_key(recipe: Recipe, capability: Capability, hardware_class: str, pipeline: str) -> str:
    """SHA-256 (hex) of what is built by a worker with this capability.

    The required hardware tags are left out: they chose the hardware class, which is in the key itself.
    """
    parts = recipe.model_dump(mode="json")
    parts["target"].pop("requires")
    parts["target"]["options"] = with_defaults(recipe.target.options, capability.options_schema)
    toolchain = dict(sorted(capability.toolchain.items()))
    return _digest(
        {
            "scheme": SCHEME,
            "recipe": parts,
            "toolchain": toolchain,
            "hardware_class": hardware_class,
            "pipeline": pipeline,
        }
    )


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
