"""Targets: the short form, there and back, and what is said of a wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from enginehouse.errors import InvalidConstraint, TargetError, UnknownPrecision
from enginehouse.request import JobRequest
from enginehouse.targets import MOST_TERMS, Precision, Target, parse_target

names = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
tags = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,20}", fullmatch=True)


precisions = st.sampled_from([one for one in Precision if one is not Precision.AUTO])


@given(names, precisions, st.sets(tags, max_size=4))
def test_the_short_form_reads_back(backend, precision, required):
    target = Target(backend=backend, precision=precision, requires=tuple(sorted(required)))
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("openvino", TargetError, "BACKEND:PRECISION"),
        ("", TargetError, "BACKEND:PRECISION"),
        (":fp16", TargetError, "BACKEND:PRECISION"),
        ("openvino:fp17", UnknownPrecision, "fp17"),
        ("tensorrt:auto", UnknownPrecision, "int8"),
        ("auto:fp32", UnknownPrecision, "fp32"),
        ("openvino:", UnknownPrecision, "fp32"),
        ("openvino:fp16@", TargetError, "hardware tag"),
        ("openvino:fp16@a b", TargetError, "hardware tag"),
        ("openvino:fp16@cpu+cpu.cores=>8", InvalidConstraint, "character 10.*'>='"),
        ("auto@cpu.core>=8", InvalidConstraint, "cpu.cores"),
        ("open vino:fp16", TargetError, "BACKEND:PRECISION"),
        ("../x:fp16", TargetError, "BACKEND:PRECISION"),
    ],
)
def test_a_wrong_target_is_explained(text, error, says):
    with pytest.raises(error, match=says):
        parse_target(text)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_an_error_of_ours(text):
    try:
        parse_target(text)
    except TargetError as error:
        assert error.hint


constraints = st.sampled_from(
    ["cpu.cores>=8", "cpu.isa has amx_int8", "gpu.name=nvidia h200", "tensorrt~=11.4", "memory_gb<64.5", "pool!=a.b-c"]
)


@given(names, precisions, st.lists(tags | constraints, min_size=1, max_size=8))
def test_tags_and_constraints_are_sorted_each_once_and_read_back(backend, precision, required):
    target = Target(backend=backend, precision=precision, requires=tuple(required))
    assert target.requires == tuple(sorted(set(required)))
    assert parse_target(str(target)) == target
    assert parse_target(f"{backend}:{precision}@{' + '.join(reversed(required))}") == target
    assert Target.model_validate_json(target.model_dump_json()) == target


def test_equal_constraints_make_equal_targets():
    one = parse_target("OpenVINO:FP16@AVX2+cpu.cores >= 08+OpenVINO>=2026.4.0")
    assert str(one) == "openvino:fp16@avx2+cpu.cores>=8+openvino>=2026.4"
    assert one == Target.model_validate(
        {"backend": "openvino", "precision": "fp16", "requires": ["openvino>=2026.4", "cpu.cores>=8.0", "avx2", "AVX2"]}
    )
    assert str(parse_target("auto@cpu.cores>=8")) == "auto@cpu.cores>=8"


def test_a_requirement_has_a_size_that_an_index_can_hold():
    most = "+".join(f"tag-{number}" for number in range(MOST_TERMS))
    assert len(parse_target(f"openvino:fp16@{most}").requires) == MOST_TERMS
    with pytest.raises(TargetError, match=f"at most {MOST_TERMS}"):
        parse_target(f"openvino:fp16@{most}+another")
    with pytest.raises(ValidationError):
        Target(backend="openvino", precision="fp16", requires=("x" * 101,))


@pytest.mark.parametrize("term", ["a b", "cpu.cores=>8", "", "a+b", "cpu.cores>=8+cpu"])
def test_a_term_of_the_list_is_checked_as_in_the_short_form(term):
    with pytest.raises(ValidationError, match="hardware tag"):
        Target.model_validate({"backend": "openvino", "precision": "fp16", "requires": [term]})


def test_a_request_takes_both_forms_and_says_what_is_wrong():
    full = {"backend": "openvino", "precision": "fp16", "requires": ["cpu"]}
    request = JobRequest.model_validate({"model": "a" * 64, "targets": ["openvino:fp16@cpu", full]})
    assert request.targets[0] == request.targets[1]
    with pytest.raises(ValidationError, match="fp99"):
        JobRequest.model_validate({"model": "a" * 64, "targets": ["openvino:fp99"]})


def test_auto_needs_no_precision_and_is_answered_by_what_was_chosen() -> None:
    target = parse_target("auto@amx_int8")
    assert (target.backend, str(target.precision), target.requires, str(target)) == (
        "auto", "auto", ("amx_int8",), "auto@amx_int8",
    )  # fmt: skip
    chosen = parse_target("openvino:int8")
    assert target.met_by(chosen)
    assert not target.met_by(parse_target("auto"))
    assert chosen.met_by(chosen)
    assert not chosen.met_by(parse_target("openvino:fp16"))
