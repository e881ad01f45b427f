"""A model that goes through ONNX on its way is proven there too, against the framework that it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enginehouse.errors import IntermediateDisagrees
from enginehouse.report import Verification
from enginehouse.targets import Precision
from workers.backends.workpiece import Workpiece
from workers.pipeline.order import Order

if TYPE_CHECKING:
    from workers.pipeline.verify import Cases


def verify_intermediate(order: Order, cases: Cases, piece: Workpiece) -> Verification | None:
    """None where the model took no such way, or was pruned on it. Raises IntermediateDisagrees."""
    from workers.pipeline.sides import load_intermediate
    from workers.pipeline.verify import verify

    if not piece.went_through_onnx or piece.altered:
        return None
    side = load_intermediate(piece.onnx, piece.threads)
    found = verify(order, cases, side, Precision.FP32, cases.feeds)
    side.close()
    if not found.agrees:
        worst = [f"{one.name} (largest error {one.max_abs_error})" for one in found.outputs if not one.agrees]
        raise IntermediateDisagrees(
            f"the ONNX made from {piece.source.format} differs from {cases.reference}: {', '.join(worst)}"
        )
    return found
