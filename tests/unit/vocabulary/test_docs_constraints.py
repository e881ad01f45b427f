"""docs/constraints.md lists the facts and operators that there are, and its examples can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from enginehouse.constraints import FACTS, OPERATORS, Kind
from enginehouse.targets import Target, parse_target

PAGE = (Path(__file__).parents[3] / "docs/constraints.md").read_text()


def test_the_table_has_a_row_for_every_fact_with_its_operators() -> None:
    rows = re.findall(r"^\| `?([a-z_. ]+)`? \| ((?:`[^`]+` ?)+)\|", PAGE, re.MULTILINE)
    said = {fact: tuple(re.findall(r"`([^`]+)`", operators)) for fact, operators in rows}
    known = {fact: tuple(map(str, OPERATORS[kind])) for fact, kind in FACTS.items()}
    assert said == {**known, "a package": tuple(map(str, OPERATORS[Kind.VERSION]))}


def test_the_examples_can_be_read() -> None:
    targets = re.findall(r"-t '([^']+)'", PAGE)
    assert len(targets) >= 4
    assert all(parse_target(target).requires for target in targets)
    (block,) = re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL)
    assert Target.model_validate(json.loads(block)) == parse_target(
        "openvino:fp16@avx2+cpu.cores>=8+cpu.isa has amx_int8"
    )
