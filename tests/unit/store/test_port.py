from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.uploads import MAX_PARTS, part_size
from scheduler.store.port import MIB, content_disposition, safe_key


@given(st.integers(0, 5 * 1024**4))
def test_parts_are_never_more_than_s3_takes_nor_smaller(size: int) -> None:
    part = part_size(size)
    assert -(-size // part) <= MAX_PARTS
    assert part >= 5 * MIB
    assert part % MIB == 0


def test_ordinary_files_have_ordinary_parts() -> None:
    assert part_size(0) == part_size(64 * 1024**3) == 16 * MIB


@given(st.text(max_size=300))
def test_any_filename_makes_one_harmless_header(name: str) -> None:
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert re.fullmatch(r"attachment; filename=\"[A-Za-z0-9._ -]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", header)


def test_a_filename_comes_back_as_it_was() -> None:
    header = content_disposition("folder/modèle & ü.onnx")
    assert unquote(header.partition("UTF-8''")[2]) == "modèle & ü.onnx"
    parsed = Message()
    parsed["content-disposition"] = content_disposition("plain name.onnx")
    assert parsed.get_filename() == "plain name.onnx"


@pytest.mark.parametrize("key", ["a", "blobs/ab/cd-01_x.bin", "A" * 512])
def test_plain_keys(key: str) -> None:
    assert safe_key(key) == key


@given(st.text(max_size=20))
def test_no_key_leaves_its_folder(key: str) -> None:
    try:
        safe_key(key)
    except ValueError:
        return
    assert ".." not in key.split("/")
    assert not key.startswith(("/", "."))
