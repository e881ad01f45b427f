"""Where a build can go, and why it cannot. A pure function over plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from enginehouse.capability import Capability
from enginehouse.constraints import FACTS, Constraint, Fact, is_constraint, parse, shown
from enginehouse.targets import Target
from scheduler.facts import of_toolchain

_MOST_VALUES = 5
"""What the farm offers instead, as far as a reason tells it."""


@dataclass(frozen=True)
class PoolState:
    """A pool with workers online: what it is, what it can do, how many slots it has and how many are free."""

    name: str
    hardware_class: str
    tags: frozenset[str]
    capabilities: tuple[Capability, ...]
    pipeline: str
    free: int
    slots: int = 0
    closed: str = ""
    """Why it takes nothing by an operator's will, in words."""
    facts: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def known_by(self) -> frozenset[str]:
        """What a target may require: the hardware's tags, and the pool's own name."""
        return self.tags | {self.name}

    def capability(self, backend: str) -> Capability | None:
        """What the pool announces for this backend."""
        return next((found for found in self.capabilities if found.backend == backend), None)

    def told(self, backend: str) -> dict[str, Fact]:
        """The facts that constraints of a target for this backend ask about."""
        capability = self.capability(backend)
        packages = of_toolchain(capability) if capability else {}
        return {**packages, **self.facts, "pool": self.name}

    def meets(self, target: Target) -> bool:
        """Whether it has what the target requires of hardware and versions."""
        tags, constraints = _terms(target.requires)
        if not self.known_by.issuperset(tags):
            return False
        facts = self.told(target.backend) if constraints else {}
        return all(constraint.holds(facts) for constraint in constraints)

    def builds(self, target: Target, model_format: str) -> bool:
        """Whether it announces the target's backend in its precision, for models of this format."""
        found = self.capability(target.backend)
        return found is not None and target.precision in found.precisions and model_format in found.formats


@dataclass(frozen=True)
class Placement:
    """Pools that can build it, the one with most free slots first; where nobody can, the reason in words."""

    pools: tuple[PoolState, ...]
    reason: str

    @property
    def waits_for(self) -> str:
        """Why a build waits, in words that stay true until somebody comes or goes."""
        return self.reason or self.closed or f"it waits for a slot of {self.named}"

    @property
    def closed(self) -> str:
        """Why none of the pools takes anything, where an operator has closed them all; else nothing."""
        reasons = [pool.closed for pool in self.pools]
        return min(reasons) if all(reasons) else ""

    @property
    def named(self) -> str:
        """The pools, in a few words."""
        names = sorted(pool.name for pool in self.pools)
        more = f" or {len(names) - 1} more" if len(names) > 1 else ""
        return f"pool {names[0]}{more}"


def place(target: Target, model_format: str, pools: Sequence[PoolState], beside: Sequence[Target] = ()) -> Placement:
    """Match a target with the pools by backend, precision, format, hardware tags and constraints, in this order.

    ``beside``: the baselines that it is measured against, which the same worker builds too.
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
    fitting = [pool for pool, _ in reading if pool.meets(target)]
    if not fitting:
        return Placement((), _unmet(target, [pool for pool, _ in reading]))
    whole = [pool for pool in fitting if all(pool.builds(one, model_format) for one in beside)]
    if not whole:
        lacking = [str(one) for one in beside if not any(pool.builds(one, model_format) for pool in fitting)]
        what = lacking[0] if lacking else f"{_words(list(map(str, beside)))} together"
        said = f"no worker online that offers {target} offers {what}, which it is to be measured against"
        return Placement((), said)
    ordered = tuple(sorted(whole, key=lambda pool: (-pool.free, pool.name)))
    return Placement(ordered, "")


@lru_cache(maxsize=4096)
def _terms(requires: tuple[str, ...]) -> tuple[frozenset[str], tuple[Constraint, ...]]:
    """The tags, and the constraints in the order of their text. Read once for a target, not once for a pool."""
    constraints = {parse(term) for term in requires if is_constraint(term)}
    tags = frozenset(term for term in requires if not is_constraint(term))
    return tags, tuple(sorted(constraints, key=str))


def _unmet(target: Target, pools: Sequence[PoolState]) -> str:
    """What of the target's requirement none of these pools has, or not together."""
    tags, constraints = _terms(target.requires)
    offering = f"no worker online that offers {target.backend}:{target.precision}"
    tagged = [pool for pool in pools if pool.known_by.issuperset(tags)]
    if not tagged:
        missing = sorted(tags - frozenset[str]().union(*(pool.known_by for pool in pools)))
        what = f"the tag {missing[0]}" if len(missing) == 1 else f"the tags {_words(missing or sorted(tags))}"
        return f"{offering} has {what}{'' if missing else ' together'}"
    if tags:
        offering += f" and has {_words(sorted(tags))}"
    facts = {pool.name: pool.told(target.backend) for pool in tagged}
    for constraint in constraints:
        if not any(constraint.holds(known) for known in facts.values()):
            return f"{offering} meets {constraint}; offered: {_offered(constraint.fact, facts)}"
    return f"{offering} meets {_words([str(one) for one in constraints])} together"


def _offered(fact: str, facts: Mapping[str, Mapping[str, Fact]]) -> str:
    """Each value of the fact with the pools that have it: '7.5 by pool a, pool b; 8.6 by pool c'."""
    pools: dict[str, list[str]] = {}
    for pool, known in sorted(facts.items()):
        pools.setdefault(shown(known.get(fact)), []).append(f"pool {pool}")
    told = [f"{value} by {_few(names)}" for value, names in sorted(pools.items())]
    if list(pools) == [shown(None)] and fact not in FACTS:
        packages = sorted({name for known in facts.values() for name in known if name not in FACTS})
        return f"nothing of that name; its toolchain is {_words(packages)}"
    return _few(told, "; ")


def _few(texts: Sequence[str], between: str = ", ") -> str:
    more = len(texts) - _MOST_VALUES
    return between.join(texts[:_MOST_VALUES]) + (f"{between}and {more} more" if more > 0 else "")


def _words(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
