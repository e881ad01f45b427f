"""Which targets online workers could build for a host. Pure: by the same rules as for what is there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.capability import Capability
from enginehouse.compatibility import judge
from enginehouse.errors import EnginehouseError
from enginehouse.fingerprint import Fingerprint
from enginehouse.rules import Made
from enginehouse.targets import AUTO, BACKENDS, Precision, Target
from scheduler.placement import PoolState, place
from scheduler.requirements import Given, check_target


@dataclass(frozen=True)
class Buildable:
    """The targets, and for each pair that is none why not. ``pools``: those that may build any of the targets."""

    targets: tuple[Target, ...]
    reasons: dict[str, str]
    pools: tuple[PoolState, ...]


def buildable(
    host: Fingerprint,
    given: Given,
    online: Sequence[PoolState],
    announced: Sequence[Capability],
    backends: Sequence[str] = (),
    precisions: Sequence[Precision] = (),
) -> Buildable:
    """One target for each backend and precision that the host could run, of those that are wanted (empty: any)."""
    targets, reasons, pools = [], {}, {}
    for backend in (name for name in BACKENDS if not backends or name in backends):
        for precision in (one for one in Precision if one != AUTO and (not precisions or one in precisions)):
            found = _target(Target(backend=backend, precision=precision), host, given, online, announced)
            if isinstance(found, str):
                reasons[f"{backend}:{precision}"] = found
            else:
                targets.append(found[0])
                pools.update({pool.name: pool for pool in found[1]})
    return Buildable(tuple(targets), reasons, tuple(pools[name] for name in sorted(pools)))


def _target(
    target: Target, host: Fingerprint, given: Given, online: Sequence[PoolState], announced: Sequence[Capability]
) -> tuple[Target, tuple[PoolState, ...]] | str:
    """The target and the pools that can take it, or why there is none.

    Where only some of the pools would do, it requires the first tag of the host that they have and the others lack, or
    else one of them by its name.
    """
    try:
        check_target(target, given, announced)
    except EnginehouseError as error:
        return error.detail
    placement = place(target, given.signature.format, online)
    if not placement.pools:
        return placement.reason
    refusals = {pool.name: judge(_made(target, pool), host)[0] for pool in placement.pools}
    suited = tuple(pool for pool in placement.pools if refusals[pool.name] is None)
    if len(suited) == len(placement.pools):
        return target, suited
    for tag in (*sorted(host.hardware.tags), suited[0].name) if suited else ():
        having = tuple(pool for pool in placement.pools if tag in pool.known_by)
        if having and all(refusals[pool.name] is None for pool in having):
            return target.model_copy(update={"requires": (tag,)}), having
    refusal = next(found for found in refusals.values() if found is not None)
    return f"what {target} would be, the host could not run: {refusal.text}"


def _made(target: Target, pool: PoolState) -> Made:
    """What this pool's artifact would be, as far as it is known before it is built."""
    capability = pool.capability(target.backend)
    architecture = next((tag[3:] for tag in sorted(pool.tags) if tag.startswith("sm_")), "")
    return Made(
        backend=target.backend,
        precision=target.precision,
        runtime=capability.toolchain if capability else {},
        settings={"compute_capability": f"{architecture[:-1]}.{architecture[-1:]}"} if architecture else {},
        tags=pool.tags,
    )
