"""Inputs on their way in, bundles on their way out, lines of a log, settings."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from enginehouse.bundle import BundleFile
from enginehouse.errors import BuildCrashed, StoreUnavailable
from enginehouse.uploads import part_size
from workers.cache import InputCache
from workers.child.environment import clean_environment
from workers.child.memory import resident_bytes
from workers.child.text import MOST_CHARACTERS, LineCutter
from workers.publish import cut
from workers.settings import WorkerSettings


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_inputs_are_fetched_once_and_checked(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", 1000)
    data = b"model" * 10
    fetched: list[int] = []

    def fetch() -> list[bytes]:
        fetched.append(1)
        return [data[:20], data[20:]]

    assert not cache.place(digest(data), len(data), tmp_path / "a/b/model", fetch)
    assert cache.place(digest(data), len(data), tmp_path / "c", fetch)
    assert len(fetched) == 1
    assert (tmp_path / "a/b/model").read_bytes() == (tmp_path / "c").read_bytes() == data
    (tmp_path / "c").write_bytes(b"changed by a build")
    cache.place(digest(data), len(data), tmp_path / "d", fetch)
    assert (tmp_path / "d").read_bytes() == data


@pytest.mark.parametrize("wrong", [b"model!", b"mode", b"mXdel", b""])
def test_other_bytes_are_refused_and_leave_nothing(wrong: bytes, tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", 1000)
    with pytest.raises(StoreUnavailable):
        cache.place(digest(b"model"), 5, tmp_path / "model", lambda: [wrong])
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "model").exists()


def test_the_least_recently_used_goes(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", 25)
    for index, data in enumerate([b"a" * 10, b"b" * 10]):
        cache.place(digest(data), 10, tmp_path / "x", lambda data=data: [data])
        os.utime(tmp_path / "cache" / digest(data), (index, index))
    cache.place(digest(b"a" * 10), 10, tmp_path / "x", list)  # used again
    cache.place(digest(b"c" * 10), 10, tmp_path / "x", lambda: [b"c" * 10])
    kept = {path.name for path in (tmp_path / "cache").iterdir()}
    assert kept == {digest(b"a" * 10), digest(b"c" * 10)}


def test_a_cache_of_no_bytes_works(tmp_path: Path) -> None:
    cache = InputCache(tmp_path / "cache", 0)
    assert not cache.place(digest(b"x"), 1, tmp_path / "x", lambda: [b"x"])
    assert not cache.place(digest(b"x"), 1, tmp_path / "y", lambda: [b"x"])
    assert (tmp_path / "y").read_bytes() == b"x"


def bundle_file(path: str, data: bytes) -> BundleFile:
    return BundleFile(path=path, sha256=digest(data), size=len(data), role="model")


def test_a_file_is_cut_into_hashed_parts(tmp_path: Path) -> None:
    step = part_size(0)
    data = os.urandom(step + 100)
    (tmp_path / "model.bin").write_bytes(data)
    wanted = cut(tmp_path, bundle_file("model.bin", data)).wanted
    assert (wanted.sha256, wanted.size) == (digest(data), len(data))
    assert wanted.parts == [digest(data[:step]), digest(data[step:])]
    (tmp_path / "empty").touch()
    assert cut(tmp_path, bundle_file("empty", b"")).wanted.parts == [digest(b"")]


def test_a_bundle_cannot_publish_the_agents_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"token")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "link").symlink_to(secret)
    (bundle / "hard").hardlink_to(secret)
    (bundle / "folder").symlink_to(tmp_path)
    os.mkfifo(bundle / "pipe")
    for path in ("link", "hard", "folder/secret", "pipe", "absent"):
        with pytest.raises(BuildCrashed):
            cut(bundle, bundle_file(path, b"token"))


def test_a_manifest_that_lies_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"these")
    with pytest.raises(BuildCrashed, match="manifest"):
        cut(tmp_path, bundle_file("f", b"other"))


def test_lines_are_cut_wherever_the_bytes_break() -> None:
    data = "één\r\ntwee\rdrie\n\n\x1b[1mvier\x1b[0m\tx\n".encode() + b"\xff\xfe" + b"y" * (MOST_CHARACTERS + 5)
    for step in (1, 2, 7, len(data)):
        found: list[str] = []
        cutter = LineCutter(found.append)
        for start in range(0, len(data), step):
            cutter.feed(data[start : start + step])
        cutter.close()
        assert found[:4] == ["één", "twee", "drie", "[1mvier[0m\tx"]
        assert "".join(found[4:]) == "\ufffd\ufffd" + "y" * (MOST_CHARACTERS + 5)
        assert max(len(line) for line in found) <= MOST_CHARACTERS
    assert cutter.tail.endswith("y")


def test_resident_memory_of_this_process() -> None:
    plain = resident_bytes([os.getpid()], precise_above=1 << 60)
    precise = resident_bytes([os.getpid()], precise_above=0)
    assert 0 < precise <= plain * 1.5
    assert resident_bytes([2**22 + 5], 0) == 0


def test_secrets_are_gone_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with clean_environment():
        assert "MY_PASSWORD" not in os.environ
        assert os.environ["OMP_NUM_THREADS"] == "3"
        assert "PATH" in os.environ
    assert os.environ["MY_PASSWORD"] == "x"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ENGINEHOUSE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ENGINEHOUSE_TAGS", "Rack7, zone-a,,")
    monkeypatch.setenv("ENGINEHOUSE_SLOTS", "3")
    monkeypatch.setenv("ENGINEHOUSE_TOKEN", "hunter2")
    monkeypatch.setenv("ENGINEHOUSE_WORKER_NAME", "-node 7/é")
    monkeypatch.setenv("ENGINEHOUSE_SCRATCH_DIR", str(tmp_path))
    settings = WorkerSettings()
    assert (settings.tags, settings.slots, settings.scratch_dir) == (("rack7", "zone-a"), 3, tmp_path)
    assert settings.worker_name == "node-7"
    assert "hunter2" not in repr(settings)
