"""Third-party scripts are the ones that were looked at, byte by byte, with their licences."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from api.pages.asset import ASSETS

TESTS = Path(__file__).parents[2] / "e2e/browser/vendor"


@pytest.mark.parametrize("folder", [ASSETS / "vendor", TESTS], ids=["pages", "tests"])
def test_every_file_is_listed_with_its_hash(folder: Path) -> None:
    listed = tomllib.loads((folder / "VENDOR.toml").read_text())
    hashes = {name: sha256 for one in listed.values() for name, sha256 in one["sha256"].items()}
    there = {file.name for file in folder.iterdir() if file.suffix in {".js", ".css"}}
    assert there == set(hashes)
    for name, sha256 in hashes.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256, name


def test_every_package_has_its_licence() -> None:
    for name, said in tomllib.loads((ASSETS / "vendor/VENDOR.toml").read_text()).items():
        text = (ASSETS / "vendor/licences" / f"{name}.txt").read_text()
        assert "Permission" in text
        assert {"0BSD": "with or without fee", "MIT": "THE SOFTWARE IS PROVIDED"}[
            said["licence"]
        ].lower() in text.lower()


def test_no_file_names_a_host_of_a_registry_or_runs_text() -> None:
    for file in [*ASSETS.glob("*.js"), *ASSETS.glob("*.css")]:
        text = file.read_text()
        assert "http://" not in text
        assert "https://" not in text
        assert "eval(" not in text
        assert "innerHTML" not in text, file.name


def test_every_script_is_loaded_by_a_page() -> None:
    templates = "".join(path.read_text() for path in (ASSETS.parent / "templates").rglob("*.html"))
    for file in (ASSETS / "vendor").glob("*.js"):
        assert f"vendor/{file.name}" in templates, file.name
