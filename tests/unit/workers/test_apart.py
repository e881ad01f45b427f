"""Work in a process of its own: its answer, and every way in which it can fail to give one."""

from __future__ import annotations

import os
import time

import pytest

from enginehouse.errors import ConversionFailed
from workers.pipeline.apart import apart


def test_its_text_comes_back() -> None:
    text = "ä" * 200_000  # more than a pipe holds
    assert apart(lambda: text, 60).text == text
    assert apart(lambda: str(os.getpid()), 60).text != str(os.getpid())


def test_our_errors_cross_with_their_code() -> None:
    def fails() -> str:
        raise ConversionFailed("the model has no such thing", nodes=["conv"])

    failure = apart(fails, 60).failure
    assert failure is not None
    assert (failure.code, failure.where) == ("build.conversion_failed", {"nodes": ["conv"]})


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (lambda: os.abort(), "build.crashed"),
        (lambda: os._exit(0), "build.crashed"),
        (lambda: 1 // 0, "farm.internal"),
        (lambda: bytearray(1 << 60), "build.memory_exceeded"),
    ],
    ids=["abort", "exit", "bug", "memory"],
)
def test_what_goes_wrong_does_so_alone(how: object, code: str) -> None:
    failure = apart(how, 60).failure  # type: ignore[arg-type]
    assert failure is not None
    assert failure.code == code


def test_who_takes_too_long_is_killed() -> None:
    def hangs() -> str:
        time.sleep(600)
        return "late"

    failure = apart(hangs, 0.2).failure
    assert failure is not None
    assert failure.code == "build.time_exceeded"
