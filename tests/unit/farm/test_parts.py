from __future__ import annotations

from pathlib import Path

import pytest

from farm.home import Home
from farm.parts import Parts
from farm.process import Part
from farm.redis import Redis
from farm.secrets import Secrets

SECRETS = Secrets(secret_key="k" * 40, admin_token="a" * 40, worker_token="w" * 40, redis_password="r" * 40)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setenv("ENGINEHOUSE_TOKEN", "of another farm")
    monkeypatch.setenv("ENGINEHOUSE_DATABASE_URL", "postgresql://of-another-farm")
    monkeypatch.setenv("ENGINEHOUSE_S3_SECRET_KEY", "of another farm")
    monkeypatch.setenv("ENGINEHOUSE_SIGNING_KEY", "of another farm")
    return Parts(Home(tmp_path), SECRETS, Redis(6390, SECRETS.redis_password), port=8470, extra={"ENGINEHOUSE_X": "1"})


def every(parts: Parts) -> list[Part]:
    return [parts.redis_part(), parts.api(), parts.scheduler(), parts.worker(1)]


def test_no_secret_is_on_a_command_line(parts: Parts) -> None:
    for part in every(parts):
        assert not any(secret in " ".join(part.command) for secret in vars(SECRETS).values())


def test_no_secret_shows_in_a_repr(parts: Parts) -> None:
    for part in every(parts):
        assert not any(secret in repr(part) for secret in vars(SECRETS).values())


def test_a_worker_is_told_nothing_of_the_registry_and_the_store(parts: Parts) -> None:
    environment = parts.worker(1).environment
    told = {key for key in environment if key.startswith("ENGINEHOUSE_")}
    assert told == {
        *("ENGINEHOUSE_URL", "ENGINEHOUSE_TOKEN", "ENGINEHOUSE_BROKER_URL", "ENGINEHOUSE_WORKER_NAME"),
        *("ENGINEHOUSE_SLOTS", "ENGINEHOUSE_SCRATCH_DIR", "ENGINEHOUSE_X"),
    }
    assert environment["ENGINEHOUSE_TOKEN"] == SECRETS.worker_token
    assert SECRETS.secret_key not in environment.values()
    assert SECRETS.admin_token not in environment.values()


def test_the_api_alone_is_told_where_the_signing_key_is(parts: Parts, tmp_path: Path) -> None:
    told = {
        part.name: {key: value for key, value in part.environment.items() if "SIGNING" in key} for part in every(parts)
    }
    file = str(tmp_path / "signing-key")
    assert told == {"redis": {}, "api": {"ENGINEHOUSE_SIGNING_KEY_FILE": file}, "scheduler": {}, "worker-1": {}}


def test_redis_is_told_nothing_at_all(parts: Parts) -> None:
    assert not [key for key in parts.redis_part().environment if key.startswith("ENGINEHOUSE_")]


def test_the_servers_work_on_this_home_whatever_the_shell_says(parts: Parts, tmp_path: Path) -> None:
    for part in (parts.api(), parts.scheduler()):
        assert part.environment["ENGINEHOUSE_DATABASE_URL"] == f"sqlite:///{tmp_path}/enginehouse.db"
        assert part.environment["ENGINEHOUSE_STORE"] == (tmp_path / "store").as_uri()
        assert "ENGINEHOUSE_TOKEN" not in part.environment


def test_redis_listens_on_loopback_with_a_password_and_keeps_nothing(tmp_path: Path) -> None:
    lines = Redis(6390, "secret").configuration(tmp_path).splitlines()
    for line in ("bind 127.0.0.1", "port 6390", "requirepass secret", 'save ""', "appendonly no"):
        assert line in lines


def test_the_parts_know_their_own_settings(parts: Parts) -> None:
    from api.settings import ServeSettings
    from scheduler.settings import Settings
    from workers.settings import WorkerSettings

    server = {f"ENGINEHOUSE_{name.upper()}" for name in (*Settings.model_fields, *ServeSettings.model_fields)}
    worker = {f"ENGINEHOUSE_{name.upper()}" for name in WorkerSettings.model_fields}
    inherited = {"ENGINEHOUSE_X", "ENGINEHOUSE_S3_SECRET_KEY"}
    for part, known in ((parts.api(), server), (parts.scheduler(), server), (parts.worker(1), worker)):
        assert {key for key in part.environment if key.startswith("ENGINEHOUSE_")} - inherited <= known
