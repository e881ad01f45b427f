"""Bundles: paths that stay inside, canonical bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.bundle import canonical_json, safe_path


@pytest.mark.parametrize("path", ["model.xml", "a/b.bin", "weights/part-1.bin", "ünïcode.bin"])
def test_plain_relative_paths_are_taken(path):
    assert safe_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "a\nb", "a/..", "x" * 256, "a\x00"],
)
def test_anything_else_is_refused(path):
    with pytest.raises(ValueError, match="not a plain relative path"):
        safe_path(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), json_values))
def test_the_order_of_keys_changes_no_byte(value):
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
