"""A chart of stacked bars over time, as the numbers that a template draws with. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.statistics import Step, Window

WIDTH, HEIGHT = 1040, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 10, 24
KINDS = (("built", "built", "c1"), ("reused", "from the cache or joined", "c2"), ("failed", "failed", "c5"))
"""Field, word and colour, from the bottom up. Cancelled builds are told in the table."""


@dataclass(frozen=True)
class Part:
    """One coloured stretch of a bar."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True)
class Bar:
    """One step: its parts, the whole column to point at, and what it says."""

    x: float
    width: float
    parts: tuple[Part, ...]
    says: str


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    bars: tuple[Bar, ...]
    rules: tuple[tuple[float, int], ...]
    """height of a line, and the count that it stands for"""
    labels: tuple[tuple[float, str], ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    foot: float = HEIGHT - _BOTTOM


def bars(steps: Sequence[Step], within: Window) -> Chart:
    """The chart of a window's steps."""
    most = _round_up(max((step.built + step.reused + step.failed for step in steps), default=0))
    tall = HEIGHT - _TOP - _BOTTOM
    pitch = (WIDTH - _LEFT - _RIGHT) / max(1, len(steps))
    form = "%H:%M" if within.step_s < 6 * 3600 else "%a %H:%M" if within.step_s < 24 * 3600 else "%d %b"
    drawn = []
    for number, step in enumerate(steps):
        left, foot = _LEFT + number * pitch, float(HEIGHT - _BOTTOM)
        parts = []
        for name, _, colour in KINDS:
            height = getattr(step, name) / most * tall
            if height:
                foot -= height
                parts.append(
                    Part(round(left + pitch * 0.12, 2), round(foot, 2), round(pitch * 0.76, 2), height, colour)
                )
        said = ", ".join(f"{getattr(step, name)} {word}" for name, word, _ in KINDS)
        drawn.append(Bar(round(left, 2), round(pitch, 2), tuple(parts), f"{step.begins.strftime(form)} UTC: {said}"))
    every = max(1, math.ceil(len(steps) / 8))
    labels = tuple(
        (round(_LEFT + (number + 0.5) * pitch, 2), step.begins.strftime(form))
        for number, step in enumerate(steps)
        if number % every == 0
    )
    rules = tuple((round(_TOP + tall * (1 - share / 2), 2), most * share // 2) for share in (0, 1, 2))
    return Chart(tuple(drawn), rules, labels)


def _round_up(most: int) -> int:
    """An even number that bars of this height fit under."""
    if most <= 10:
        return max(2, most + most % 2)
    unit = 10 ** (len(str(most)) - 1)
    step = next(one for one in (unit // 5 or 1, unit // 2 or 1, unit) if math.ceil(most / one) <= 10)
    found = math.ceil(most / step) * step
    return found + found % 2
