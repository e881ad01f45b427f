"""Messages made of a .proto file without a compiler."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from protos.describe import messages

TEXT = """
// a comment
syntax = "proto2";
package a.b;
enum Colour { RED = 0; BLUE = 3; }
message Outer {
  optional Inner inner = 1;
  repeated int64 number = 2 [packed = true];
  optional float factor = 3 [default = 0.5];
  optional Colour colour = 4 [default = BLUE];
  enum Own { ONE = 1; }
  optional Own own = 5;
  optional bytes data = 6;
}
message Inner { optional bool yes = 1 [default = true]; }
"""


@pytest.fixture
def made(tmp_path: Path) -> dict[str, type]:
    file = tmp_path / "test.proto"
    file.write_text(TEXT)
    return messages(file)


def test_defaults_enums_and_nested_messages(made: dict[str, type]) -> None:
    outer = made["Outer"]()
    assert (outer.factor, outer.colour, outer.own, outer.inner.yes) == (0.5, 3, 1, True)
    text_format.Parse("inner { yes: false } number: [1, 2] own: ONE data: '\\001'", outer)
    assert made["Outer"].FromString(outer.SerializeToString()) == outer
    assert set(made) == {"Outer", "Inner"}


def test_packed_numbers_are_one_field_on_the_wire(made: dict[str, type]) -> None:
    assert made["Outer"](number=[1, 2, 300]).SerializeToString() == b"\x12\x04\x01\x02\xac\x02"


def test_two_files_of_the_same_names_do_not_clash(made: dict[str, type], tmp_path: Path) -> None:
    (tmp_path / "again.proto").write_text(TEXT)
    assert messages(tmp_path / "again.proto")["Outer"] is not made["Outer"]


@pytest.mark.parametrize(
    "text",
    ["service S {}", "message M { optional int32 a = 1 [lazy = true]; }", "message M { map<a, b> }", "enum E ( )"],
)
def test_what_it_cannot_read_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text(text)
    with pytest.raises((ValueError, KeyError)):
        messages(tmp_path / "bad.proto")
