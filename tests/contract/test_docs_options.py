"""docs/options.md says what the backends' schemas say."""

from __future__ import annotations

from pathlib import Path

from workers.backends import all_backends
from workers.backends.page import page

PAGE = Path(__file__).parents[2] / "docs/options.md"


def test_the_page_is_what_make_options_writes():
    assert PAGE.read_text() == page()


def test_every_option_is_described():
    for backend in all_backends():
        for name, entry in backend.options.model_json_schema()["properties"].items():
            assert entry.get("description"), f"{backend.name}.{name}"
