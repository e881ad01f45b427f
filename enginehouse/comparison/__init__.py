"""Builds set side by side: what was asked, where it was built, what was measured, what each layer became.

Pure: recipes, manifests and reports in, a Comparison out. The first build is the base of every ratio.
"""

from enginehouse.comparison.compare import compare
from enginehouse.comparison.views import (
    MOST_COMPARED,
    Better,
    Change,
    Comparison,
    Difference,
    LayerChange,
    LayerDiff,
    MetricRow,
    Side,
    Subject,
)

__all__ = [
    "MOST_COMPARED",
    "Better",
    "Change",
    "Comparison",
    "Difference",
    "LayerChange",
    "LayerDiff",
    "MetricRow",
    "Side",
    "Subject",
    "compare",
]
