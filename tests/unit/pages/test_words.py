"""Words and numbers for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.pages import words
from api.pages.words import BY, DASH

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("back", "said"),
    [
        (0, "now"),
        (1, "1 s ago"),
        (59.4, "59 s ago"),
        (60, "1 min ago"),
        (3 * 3600 + 59, "3 h ago"),
        (86_400, "1 day ago"),
        (3 * 86_400, "3 days ago"),
        (65 * 86_400, "2 months ago"),
        (800 * 86_400, "2 years ago"),
        (-90, "in 1 min"),
    ],
)
def test_how_long_ago(back: float, said: str) -> None:
    assert words.ago(NOW - timedelta(seconds=back), NOW) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, DASH),
        (0, "0 ms"),
        (0.0123, "12.3 µs"),
        (0.5, "0.5 ms"),
        (12.345, "12.3 ms"),
        (1234.5, "1234 ms"),
        (65_000, "65 s"),
    ],
)
def test_milliseconds(value: float | None, said: str) -> None:
    assert words.ms(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, DASH), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 1024**4, "5.0 TiB")]
)
def test_bytes(value: float | None, said: str) -> None:
    assert words.size(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.0125, "12.5 ms"), (2.345, "2.3 s"), (42.4, "42 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")]
)
def test_a_duration_in_two_units(value: float, said: str) -> None:
    assert words.clock(value) == said


def test_ids_and_shapes() -> None:
    assert words.short("a" * 64) == "a" * 12
    assert words.short("build_01k9zzzzzzzzzzzzzzzzzzabcd") == "build_…zzabcd"
    assert words.short("mine") == "mine"
    assert words.short(None) == DASH
    assert words.shape([1, None, "n", 4]) == f"1 {BY} ? {BY} n {BY} 4"
    assert words.shape([]) == "scalar"
    assert words.shape(None) == "unknown"


def test_numbers_of_things() -> None:
    assert words.plural(1, "build") == "1 build"
    assert words.plural(12_345, "build") == "12\u202f345 builds"
    assert words.value({"a": [1, "ü"]}) == '{"a": [1, "ü"]}'
    assert words.times(1.5) == f"1.50{BY}"
    assert words.share(0.125) == "12.5 %"
