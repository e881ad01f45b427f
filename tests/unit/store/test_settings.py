from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from scheduler.settings import Settings


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ENGINEHOUSE_{name.upper()}", raising=False)
    monkeypatch.setenv("ENGINEHOUSE_SECRET_KEY", "0123456789abcdef")
    monkeypatch.chdir(tmp_path)


def test_defaults_lie_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    assert settings.database_url == f"sqlite:///{tmp_path}/data/enginehouse.db"
    assert settings.store == f"file://{tmp_path}/data/store"
    assert settings.scratch == tmp_path / "data" / "scratch"


def test_every_field_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEHOUSE_DATABASE_URL", "postgresql+psycopg://farm:hidden-word@host/db")
    monkeypatch.setenv("ENGINEHOUSE_BROKER_URL", "redis://:hidden-word@host/0")
    for name in ("S3_SECRET_KEY", "ADMIN_TOKEN", "WORKER_TOKEN", "SECRET_KEY"):
        monkeypatch.setenv(f"ENGINEHOUSE_{name}", "hidden-word-of-length")
    settings = Settings()
    assert "hidden-word" not in repr(settings)
    assert "hidden-word" in settings.database_url
    assert isinstance(settings.worker_token, SecretStr)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "short"),
        ("STORE", "ftp://host"),
        ("STORE", "file://relative"),
        ("S3_PUBLIC_ENDPOINT", "farm.example.org"),
        ("LEASE_S", "5"),
        ("MAX_UPLOAD_BYTES", "0"),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ENGINEHOUSE_{name}", value)
    with pytest.raises(ValidationError):
        Settings()
