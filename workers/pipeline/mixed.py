"""The option 'mixed': the artifact is built again with the layers that lose most kept in float."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace

from enginehouse.report import LossyLayer, Verification
from workers.backends.base import Backend, Saved
from workers.backends.workpiece import Notes, Workpiece
from workers.pipeline.lossy import MOST, find_lossy
from workers.pipeline.order import Order
from workers.pipeline.sides import Side, load_artifact
from workers.pipeline.verify import Cases, verify

LAYERS = (3, MOST)
"""How many of the worst layers each further build keeps in float."""


@dataclass
class Made:
    """An artifact with what came of its verification."""

    piece: Workpiece
    saved: Saved
    side: Side
    verification: Verification
    lossy: list[LossyLayer] = field(default_factory=list)


def mended(order: Order, backend: Backend, cases: Cases, made: Made) -> Made:
    """The artifact as it is where it agrees. Else with its lossy layers, and, if asked for, built again without them.

    Who asks for it wants more accuracy than int8 alone gives, agreeing or not: so there is one more build in any case,
    and another where that one disagrees. The last one counts.
    """
    asked = made.piece.options
    rounds = list(LAYERS) if getattr(asked, "mixed", False) else []
    while (order.layers and not made.verification.agrees) or len(rounds) == len(LAYERS):
        found = find_lossy(made.piece, backend, made.saved, cases.fed[cases.worst], cases.feeds[cases.worst])
        made.lossy = [*made.lossy, *(row for row in found.rows if row.node not in {one.node for one in made.lossy})]
        if not rounds:
            break
        wanted = dict.fromkeys(name for names in found.keep[: rounds.pop(0)] for name in names)
        already = set(made.piece.options.keep_float)
        fresh = backend.keepable(made.piece, [name for name in wanted if name not in already])
        if not fresh:
            made.piece.notes.say("mixed: there is no further layer to keep in float")
            break
        made = _again(order, backend, cases, made, fresh)
    made.lossy = sorted(made.lossy, key=lambda one: -one.drop)[:MOST]
    return made


def _again(order: Order, backend: Backend, cases: Cases, made: Made, fresh: list[str]) -> Made:
    options = made.piece.options
    keep = (*options.keep_float, *fresh)
    piece = replace(made.piece, options=options.model_copy(update={"keep_float": keep}), notes=Notes())
    made.side.close()
    shutil.rmtree(order.bundle)
    piece.notes.say(f"mixed: built again with these nodes in float: {', '.join(fresh)}")
    saved = backend.save(piece, backend.prepare(piece, backend.read(piece)), order.bundle)
    piece.notes.kept_float = list(dict.fromkeys((*piece.notes.kept_float, *keep)))
    side = load_artifact(backend, saved, piece.options, piece.threads)
    return Made(piece, saved, side, verify(order, cases, side), made.lossy)
