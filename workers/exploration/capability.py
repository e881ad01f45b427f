"""What a worker announces for ``auto``: everything that its other backends can do, together."""

from __future__ import annotations

from collections.abc import Sequence

from enginehouse.capability import Capability
from enginehouse.targets import AUTO, Precision
from workers.exploration.options import AutoOptions


def capability(others: Sequence[Capability]) -> Capability | None:
    """Made of the other capabilities; None where there is none. All their versions count in the cache key."""
    if not others:
        return None
    return Capability(
        backend=AUTO,
        toolchain={package: version for one in others for package, version in one.toolchain.items()},
        precisions=[Precision.AUTO],
        formats=sorted({name for one in others for name in one.formats}),
        options_schema=AutoOptions.model_json_schema(),
    )
