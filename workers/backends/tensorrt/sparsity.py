"""Which layers took sparse kernels, from what TensorRT says while it builds. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# 10 and 11: 'Found 2 layer(s) eligible to use sparse tactics: a, b', 'Chose 1 layer(s) using sparse tactics: a';
# before: 'Layers eligible for sparse math: a, b', 'TRT inference plan picked sparse implementation for layers: a'.
_ELIGIBLE = re.compile(r"(?:layer\(s\) eligible to use sparse tactics|Layers eligible for sparse math):\s*(.*)")
_TAKEN = re.compile(r"(?:layer\(s\) using sparse tactics|picked sparse implementation for layers):\s*(.*)")


@dataclass(frozen=True)
class Sparse:
    """Names of engine layers."""

    eligible: tuple[str, ...]
    taken: tuple[str, ...]

    def __str__(self) -> str:
        names = f": {', '.join(self.taken[:20])}" if self.taken else ""
        return f"{len(self.taken)} of {len(self.eligible)} layers with 2:4 weights run on sparse kernels{names}"


def sparse_layers(lines: Sequence[str]) -> Sparse:
    """What the lines about sparsity say."""
    return Sparse(_names(_ELIGIBLE, lines), _names(_TAKEN, lines))


def _names(pattern: re.Pattern[str], lines: Sequence[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for line in lines:
        if match := pattern.search(line):
            found.update(dict.fromkeys(name.strip() for name in match.group(1).split(",") if name.strip()))
    return tuple(found)
