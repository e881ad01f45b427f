"""What workers offer, by backend: of those online, else of those that ever signed on."""

from __future__ import annotations

from sqlalchemy.orm import Session

from enginehouse.capability import Capability
from enginehouse.targets import AUTO, BACKENDS
from scheduler import pools


def by_backend(session: Session) -> dict[str, Capability]:
    """Backend to one capability: the formats and precisions of all, the options and versions of the first.

    In the order of the published list; ``auto`` comes first.
    """
    found: dict[str, Capability] = {}
    for pool in (*pools.online(session), *pools.ever(session)):
        for one in pool.capabilities:
            known = found.get(one.backend)
            found[one.backend] = one if known is None else _both(known, one)
    order = [AUTO, *BACKENDS, *sorted(found)]
    return {name: found[name] for name in dict.fromkeys(order) if name in found}


def _both(known: Capability, other: Capability) -> Capability:
    precisions = list(dict.fromkeys([*known.precisions, *other.precisions]))
    formats = list(dict.fromkeys([*known.formats, *other.formats]))
    return known.model_copy(update={"precisions": precisions, "formats": formats})
