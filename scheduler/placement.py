"""Where a build can go, and why it cannot. A pure function over plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.capability import Capability
from enginehouse.targets import Target


@dataclass(frozen=True)
class PoolState:
    """A pool with workers online: what it is, what it can do, how many slots are free (never below 0)."""

    name: str
    hardware_class: str
    tags: frozenset[str]
    capabilities: tuple[Capability, ...]
    pipeline: str
    free: int

    @property
    def known_by(self) -> frozenset[str]:
        """What a target may require: the hardware's tags, and the pool's own name."""
        return self.tags | {self.name}

    def capability(self, backend: str) -> Capability | None:
        """What the pool announces for this backend."""
        return next((found for found in self.capabilities if found.backend == backend), None)


@dataclass(frozen=True)
class Placement:
    """Pools that can build it, the one with most free slots first; where there is none, the reason in words."""

    pools: tuple[PoolState, ...]
    reason: str

    @property
    def now(self) -> PoolState | None:
        """The pool that can take it at once."""
        return self.pools[0] if self.pools and self.pools[0].free > 0 else None


def place(target: Target, model_format: str, pools: Sequence[PoolState]) -> Placement:
    """Match a target with the pools by backend, precision, format and hardware tags, in this order.

    The reason names the first property that nobody offers, and what the farm offers instead.
    """
    if not pools:
        return Placement((), "no worker is online")
    offering = [(pool, found) for pool in pools if (found := pool.capability(target.backend))]
    if not offering:
        backends = sorted({found.backend for pool in pools for found in pool.capabilities})
        return Placement((), f"no worker online offers {target.backend}; offered: {_words(backends)}")
    precise = [(pool, found) for pool, found in offering if target.precision in found.precisions]
    if not precise:
        precisions = sorted({str(p) for _, found in offering for p in found.precisions})
        said = f"no worker online offers {target.backend}:{target.precision}; offered: {_words(precisions)}"
        return Placement((), said)
    reading = [(pool, found) for pool, found in precise if model_format in found.formats]
    if not reading:
        return Placement((), f"no worker online reads {model_format} models for {target.backend}")
    tagged = [pool for pool, _ in reading if pool.known_by.issuperset(target.requires)]
    if not tagged:
        missing = sorted(set(target.requires) - frozenset[str]().union(*(pool.known_by for pool, _ in reading)))
        what = f"the tag {missing[0]}" if len(missing) == 1 else f"the tags {_words(missing or list(target.requires))}"
        together = "" if missing else " together"
        return Placement((), f"no worker online that offers {target.backend}:{target.precision} has {what}{together}")
    ordered = tuple(sorted(tagged, key=lambda pool: (-pool.free, pool.name)))
    reason = "" if ordered[0].free > 0 else f"every slot of {_words([pool.name for pool in ordered])} is busy"
    return Placement(ordered, reason)


def _words(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
