"""docs/errors.md says what the classes say."""

from __future__ import annotations

from pathlib import Path

from enginehouse.errors import codes

PAGE = Path(__file__).parents[3] / "docs/errors.md"


def test_the_page_has_one_row_for_every_code_and_says_what_the_class_says():
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    said = {row[0].strip("| `"): [cell.strip(" |") for cell in row[1:]] for row in rows}
    published = {
        code: [str(cls.status), str(cls.fault), "yes" if cls.retried else "no", cls.title, cls.advice]
        for code, cls in codes().items()
    }
    assert said == published
    assert len(rows) == len(published)
