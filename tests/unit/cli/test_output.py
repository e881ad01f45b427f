from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.cli.output import age_text, clean, number_text, print_json, print_table, short, size_text
from enginehouse.errors import Failure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünïcode ✓", "plain ünïcode ✓"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\x08\x00\x7fb", "ab"),
        ("a\rb", "a b"),
        ("a\tb\nc", "a    b c"),
        ("\u202eevil\u2066", "evil"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("end\x1b", "end"),
    ],
)
def test_terminal_control_is_stripped(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text())
def test_nothing_that_controls_a_terminal_is_left(text: str) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in clean(text))


def test_several_lines_stay_lines_when_asked() -> None:
    assert clean("a\n\x1b[2Jb", multiline=True) == "a\nb"


def test_json_is_the_model_and_reaches_no_terminal_raw(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure(code="x", title="t", detail="\x1b[2J\x9b2J ü", fault="farm")
    print_json(failure)
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert json.loads(out) == failure.model_dump(mode="json")


def test_a_table_off_a_terminal_is_whole_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "size"], [["[red]x[/red]" + "y" * 200, "1"], ["a\x1b[31mb", "22"]], right=["size"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "size"]
    assert lines[1].split() == ["[red]x[/red]" + "y" * 200, "1"]
    assert lines[2].split() == ["ab", "22"]


def test_texts_for_people() -> None:
    assert [size_text(n) for n in (0, 1023, 1536, 5 * 1024**3)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert (number_text(None), number_text(0.00012345), number_text(1.5, ".2f", "x")) == ("-", "0.000123", "1.50x")
    now = datetime(2026, 11, 21, tzinfo=UTC)
    ages = [age_text(now - timedelta(seconds=s), now) for s in (-5, 59, 90, 7300, 200_000)]
    assert ages == ["0 s", "59 s", "2 min", "2 h", "2 d"]
    assert short("ab" * 32) == "abababababab"
    assert short("job_01") == "job_01"
