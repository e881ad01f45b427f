"""Constraints: text there and back, what they mean, and what is said of a wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.constraints import FACTS, LONGEST, OPERATORS, Constraint, Kind, Op, is_constraint, parse
from enginehouse.errors import InvalidConstraint

numbers = st.one_of(st.integers(0, 10**6).map(str), st.decimals(0, 10**6, places=2).map(str))
releases = st.lists(st.integers(0, 30), min_size=2, max_size=4).map(lambda parts: ".".join(map(str, parts)))
versions = st.builds(str.__add__, releases, st.sampled_from(["", "", "", "rc1", ".post2", ".dev3"]))
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
vendors = st.from_regex(r"[A-Za-z]{1,8}([ -][A-Za-z0-9]{1,8}){0,3}", fullmatch=True)
VALUES = {Kind.NUMBER: numbers, Kind.VERSION: versions, Kind.WORDS: vendors, Kind.NAME: names, Kind.SET: names}
PACKAGES = ("openvino", "tensorrt", "Ai_Edge_LiteRT", "cuda-bindings")

facts = st.sampled_from([*FACTS, *PACKAGES])
blanks = st.sampled_from(["", " ", "  "])


@st.composite
def written(draw: st.DrawFn) -> str:
    fact = draw(facts)
    kind = FACTS.get(fact, Kind.VERSION)
    op, value = draw(st.sampled_from(OPERATORS[kind])), draw(VALUES[kind])
    before, after = (" ", " ") if op is Op.HAS else (draw(blanks), draw(blanks))
    return f"{fact}{before}{op}{after}{value}"


@given(written())
def test_the_canonical_text_reads_back_as_the_same(text: str) -> None:
    found = parse(text)
    assert parse(str(found)) == found
    assert parse(text.upper()) == found
    assert is_constraint(str(found))
    assert "+" not in str(found)


@given(written(), written())
def test_equal_constraints_and_no_others_have_equal_text(one: str, other: str) -> None:
    assert (parse(one) == parse(other)) == (str(parse(one)) == str(parse(other)))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("cpu.cores >= 08", "cpu.cores>=8"),
        ("memory_gb<=64.50", "memory_gb<=64.5"),
        ("CPU.ISA  has AMX_INT8", "cpu.isa has amx_int8"),
        ("gpu.name=NVIDIA A100-SXM4-80GB", "gpu.name=nvidia a100 sxm4 80gb"),
        ("cpu.model = Intel(R) Xeon(R)", "cpu.model=intel xeon"),
        ("OpenVINO>=2026.4.0", "openvino>=2026.4"),
        ("Ai_Edge_LiteRT = v2.3.*", "ai-edge-litert=2.3.*"),
        ("tensorrt~=11.4.0", "tensorrt~=11.4.0"),
        ("gpu.compute_capability>=8.0", "gpu.compute_capability>=8"),
        ("pool!=CPU-2c", "pool!=cpu-2c"),
    ],
)
def test_one_spelling(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("cpu.cores=>8", 10, "'>=' is one"),
        ("cpu.cores==8", 10, "'=' is one"),
        ("openvino===1", 9, "'=' is one"),
        ("cpu.cores 8", 11, "cpu.cores takes =, !="),
        ("cpu.cores has 8", 11, "not 'has'"),
        ("cpu.isa=avx2", 8, "cpu.isa takes has"),
        ("cpu.isa hass avx2", 9, "'has' is one"),
        ("cpu.isa has avx2 amx", 13, "expected one name"),
        ("gpu.name~=H200", 9, "gpu.name takes =, !="),
        ("gpu.compute_capabilty>=8", 1, "there is gpu.compute_capability"),
        ("cpu.speed>=8", 1, "there is no fact 'cpu.speed'"),
        ("memory_mb>=64", 1, "there is memory_gb"),
        ("cores>=8", 1, "there is cpu.cores"),
        (">=8", 1, "expected the name"),
        ("cpu.cores>=", 12, "expected a number"),
        ("cpu.cores>=-1", 12, "expected a number"),
        ("cpu.cores>=٣", 12, "expected a number"),
        ("memory_gb>=64G", 12, "expected a number"),
        ("openvino>=new", 11, "expected a version"),
        ("openvino>=2026.4,<2027", 11, "expected a version"),
        ("openvino>=2026.*", 11, "goes with = and != only"),
        ("tensorrt~=11", 11, "such as ~=11.0"),
        ("torch=2.13.0+cpu", 13, "separates the terms"),
        ("gpu.name= - ", 11, "expected words"),
    ],
)
def test_a_wrong_one_is_told_where_and_what_was_expected(text: str, place: int, says: str) -> None:
    with pytest.raises(InvalidConstraint) as caught:
        parse(text)
    assert says in caught.value.detail
    assert f"at character {place}," in caught.value.detail
    assert caught.value.where == {"constraint": text, "position": place}


def test_a_long_one_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidConstraint, match=f"longer than {LONGEST}"):
        parse("cpu.cores>=" + " " * LONGEST + "8")


@given(st.text(max_size=60) | written().flatmap(lambda text: st.text(max_size=3).map(lambda more: text + more)))
def test_any_text_is_a_constraint_or_an_error_of_ours(text: str) -> None:
    try:
        found = parse(text)
    except InvalidConstraint as error:
        assert error.hint
    else:
        assert parse(str(found)) == found


# --- what they mean ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fact", "holds"),
    [
        ("cpu.cores>=8", 8, True),
        ("cpu.cores>=8", 16, True),  # as text '16' stands before '8'
        ("cpu.cores<8.5", 8, True),
        ("cpu.cores=8", 8.0, True),
        ("cpu.cores!=8", "eight", False),
        ("gpu.compute_capability>=8.0", "7.5", False),
        ("gpu.compute_capability>=8.9", "10.0", True),
        ("gpu.compute_capability>=8.0", ["7.5", "9.0"], False),  # a build can come to either
        ("gpu.compute_capability>=8.0", ["8.0", "9.0"], True),
        ("gpu.driver>=580", "580.65.06", True),
        ("gpu.driver>=580", "575.57", False),
        ("gpu.driver>=580", "unknown", False),
        ("gpu.name=H200", "NVIDIA H200", True),
        ("gpu.name=nvidia h200", "NVIDIA H200", True),
        ("gpu.name=h20", "NVIDIA H200", False),
        ("gpu.name=a100", "NVIDIA A100-SXM4-80GB", True),
        ("gpu.name!=Laptop", "NVIDIA GeForce RTX 4090", True),
        ("gpu.name!=4090", "NVIDIA GeForce RTX 4090", False),
        ("gpu.name=H200", ["NVIDIA H100", "NVIDIA H200"], False),
        ("cpu.model=Intel Xeon", "Intel(R) Xeon(R) Platinum 8480+", True),
        ("cpu.model=8480", "Intel(R) Xeon(R) Platinum 8480+", True),
        ("cpu.isa has amx_int8", ["amx_int8", "avx2"], True),
        ("cpu.isa has amx", ["amx_int8", "avx2"], False),
        ("cpu.isa has avx2", [], False),
        ("pool=CPU-2c", "cpu-2C", True),
        ("pool!=other", "cpu-2c", True),
        ("pipeline=2", "2", True),
        ("pipeline>=2", "10", True),
        ("openvino>=2026.4", "2026.4.1", True),
        ("openvino>=2026.4", "2026.10.0", True),
        ("openvino=2026.4", "2026.4.1", False),
        ("openvino=2026.4.*", "2026.4.1", True),
        ("openvino!=2026.4.*", "2026.4.1", False),
        ("tensorrt~=11.4", "11.9.0", True),
        ("tensorrt~=11.4", "12.0", False),
        ("tensorrt~=11.4.0", "11.5", False),
        ("torch=2.13.0", "2.13.0+cpu", True),
        ("torch>=2.13", "2.14.0rc1", True),  # a worker that has a pre-release has it
        ("torch<2.14", "2.14.0rc1", False),
    ],
)
def test_meaning(text: str, fact: object, holds: bool) -> None:
    constraint = parse(text)
    assert constraint.holds({constraint.fact: fact}) is holds


@given(written())
def test_a_fact_that_is_not_there_meets_nothing(text: str) -> None:
    constraint = parse(text)
    assert not constraint.holds({})
    assert not constraint.holds({"something": 1})


@pytest.mark.parametrize(
    ("fact", "values", "told"),
    [
        ("cpu.cores", numbers, numbers.map(float)),
        ("memory_gb", numbers, st.integers(0, 10**6)),
        ("openvino", releases, releases),
        ("gpu.driver", releases, releases),
    ],
)
def test_laws_of_order(fact: str, values: st.SearchStrategy[str], told: st.SearchStrategy[object]) -> None:
    @given(values, told)
    def law(value: str, known: object) -> None:
        holds = {op: parse(f"{fact}{op}{value}").holds({fact: known}) for op in OPERATORS[Kind.NUMBER]}
        assert holds[Op.AT_LEAST] is not holds[Op.LESS]
        assert holds[Op.AT_MOST] is not holds[Op.MORE]
        assert holds[Op.EQUAL] is not holds[Op.UNEQUAL]
        assert holds[Op.EQUAL] is (holds[Op.AT_LEAST] and holds[Op.AT_MOST])
        assert holds[Op.AT_LEAST] is (holds[Op.MORE] or holds[Op.EQUAL])

    law()


@given(releases, releases)
def test_compatible_is_at_least_within_the_release_above(value: str, known: str) -> None:
    above = value.rpartition(".")[0]
    both = parse(f"x>={value}").holds({"x": known}) and parse(f"x={above}.*").holds({"x": known})
    assert parse(f"x~={value}").holds({"x": known}) is both


@given(vendors, vendors)
def test_words_are_equal_or_not(value: str, known: str) -> None:
    for fact in ("gpu.name", "cpu.model"):
        assert parse(f"{fact}={value}").holds({fact: f"{known} {value} {known}"})
        told = {fact: known}
        assert parse(f"{fact}={value}").holds(told) is not parse(f"{fact}!={value}").holds(told)


@given(st.sampled_from([Op.AT_LEAST, Op.LESS, Op.EQUAL, Op.UNEQUAL]), st.lists(st.integers(0, 9), min_size=1))
def test_where_devices_differ_each_must_do(op: Op, several: list[int]) -> None:
    constraint = Constraint("gpu.memory_gb", op, "5")
    each = [constraint.holds({"gpu.memory_gb": one}) for one in several]
    assert constraint.holds({"gpu.memory_gb": several}) is all(each)
