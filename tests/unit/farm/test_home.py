from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from farm.errors import HomeBusy, StartError
from farm.home import Home, default_home
from farm.secrets import Secrets


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_home_and_its_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    home.acquire()
    home.secrets()
    home.signing_key()
    home.publish("http://127.0.0.1:1", "token")
    assert mode(home.path) == 0o700
    private = ["farm.json", "lock", "secrets.json", "signing-key"]
    assert [mode(home.path / name) for name in private] == [0o600] * 4
    assert mode(home.folder("store")) == 0o700
    assert sorted(path.name for path in home.path.iterdir()) == [*private, "store"]
    home.release()


def test_a_home_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    home = Home(tmp_path)
    home.acquire()
    home.release()
    assert mode(tmp_path) == 0o700


def test_secrets_are_made_once_and_differ_between_homes(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    for home in (one, other):
        home.acquire()
    assert one.secrets() == one.secrets()
    assert one.signing_key().read_text() == one.signing_key().read_text() != other.signing_key().read_text()
    ours, theirs = vars(one.secrets()), vars(other.secrets())
    assert not set(ours.values()) & set(theirs.values())
    assert all(len(value) >= 32 for value in ours.values())
    one.release()
    other.release()


def test_secrets_do_not_show_in_a_repr() -> None:
    secrets = Secrets.make()
    assert not any(value in repr(secrets) for value in vars(secrets).values())


def test_a_second_farm_on_the_same_home_is_refused_with_the_process_that_has_it(tmp_path: Path) -> None:
    first, second = Home(tmp_path), Home(tmp_path)
    first.acquire()
    with pytest.raises(HomeBusy, match=rf"process {os.getpid()}\).*--home"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_home_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot be the farm's home"):
        Home(tmp_path / "file").acquire()


def test_clients_find_the_farm_by_its_file_and_only_while_it_runs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.publish("http://127.0.0.1:8470", "secret")
    assert json.loads(home.farm_file.read_text()) == {"url": "http://127.0.0.1:8470", "token": "secret"}
    home.withdraw()
    home.withdraw()
    assert not home.farm_file.exists()


def test_the_default_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENGINEHOUSE_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("ENGINEHOUSE_HOME")
    assert default_home() == Path.home() / ".enginehouse"


def test_the_client_reads_the_file_that_the_farm_writes(tmp_path: Path) -> None:
    from enginehouse.settings import DEFAULT_URL, client_settings
    from farm.home import DEFAULT_PORT

    home = Home(tmp_path)
    home.publish("http://127.0.0.1:4711", "secret")
    found = client_settings(environ={"ENGINEHOUSE_HOME": str(tmp_path)})
    assert (found.url, found.token) == ("http://127.0.0.1:4711", "secret")
    assert DEFAULT_URL.endswith(f":{DEFAULT_PORT}")


def test_large_logs_are_put_aside_when_the_farm_starts(tmp_path: Path) -> None:
    home = Home(tmp_path)
    small, large = home.log_file("api"), home.log_file("redis")
    small.write_text("small")
    with large.open("wb") as log:
        log.truncate(11 * 1024**2)
    home.trim_logs()
    assert sorted(path.name for path in large.parent.iterdir()) == ["api.log", "redis.log.1"]
