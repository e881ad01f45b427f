"""docs/configuration.md says of every setting what its class says, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from api.settings import ServeSettings
from scheduler.settings import Settings
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"ENGINEHOUSE_[A-Z0-9]+(?:_[A-Z0-9]+)*(?![A-Z0-9_])")
SECTIONS: list[tuple[str, type[BaseSettings]]] = [
    ("API and scheduler", Settings),
    ("API alone", ServeSettings),
    ("Workers", WorkerSettings),
]


def section(title: str) -> list[str]:
    """The table's rows under a heading."""
    text = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in text.splitlines() if line.startswith("| `ENGINEHOUSE_")]


def expected(cls: type[BaseSettings]) -> list[str]:
    """The table's rows as the class has them."""
    rows = []
    for name, field in cls.model_fields.items():
        if field.is_required():
            default = "**required**"
        else:
            value = field.get_default(call_default_factory=True)
            value = value.get_secret_value() if isinstance(value, SecretStr) else value
            if field.default_factory is not None:
                value = None  # found out at start; the description says how
            plain = str(value).lower() if isinstance(value, bool) else str(value)
            default = f"`{plain}`" if value not in (None, "", ()) else ""
        description = (field.description or "").replace("|", "\\|")
        rows.append(f"| `ENGINEHOUSE_{name.upper()}` | {default} | {description} |")
    return rows


@pytest.mark.parametrize(("title", "cls"), SECTIONS, ids=[title for title, _ in SECTIONS])
def test_each_section_is_its_class(title: str, cls: type[BaseSettings]) -> None:
    assert section(title) == expected(cls), "the table should read:\n" + "\n".join(expected(cls))


@pytest.mark.parametrize("cls", [cls for _, cls in SECTIONS], ids=lambda cls: cls.__name__)
def test_every_setting_says_what_it_does(cls: type[BaseSettings]) -> None:
    assert [name for name, field in cls.model_fields.items() if not field.description] == []
    assert cls.model_config["env_prefix"] == "ENGINEHOUSE_"


def test_every_variable_that_the_code_names_is_on_the_page() -> None:
    named = set()
    for room in ("enginehouse", "scheduler", "api", "workers", "sandbox", "farm"):
        for file in (ROOT / room).rglob("*.py"):
            named |= set(VARIABLE.findall(file.read_text(encoding="utf-8")))
    assert named
    assert named - set(VARIABLE.findall(PAGE)) == set()
