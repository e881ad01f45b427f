"""What toolchains keep between builds: replaced only by what was made from the newest version."""

from __future__ import annotations

import hashlib
import threading

import pytest
from sqlalchemy import func, select

from enginehouse.errors import Conflict, DigestMismatch, NotFound, RequestError, TooLarge
from enginehouse.work import KeptUpdate, kept_key
from scheduler import toolchain_caches
from scheduler.registry.tables import Blob, ToolchainCache

LABEL = "tensorrt timing cache | NVIDIA H200 | compute capability 9.0 | TensorRT 11.4.0.106 | CUDA 13.0"
KEY = kept_key(LABEL)


def send(farm, content: bytes, version: int, *, key: str = KEY, label: str = LABEL, sha256: str | None = None):
    digest = sha256 or hashlib.sha256(content).hexdigest()
    update = KeptUpdate(label=label, version=version, sha256=digest)
    return toolchain_caches.replace(farm, key, update, iter([content]))


def content(farm, key: str = KEY) -> bytes:
    served = toolchain_caches.content(farm, key)
    return b"".join(served.open(0, served.size))


def test_a_cache_is_kept_and_replaced(farm):
    with pytest.raises(NotFound):
        toolchain_caches.find(farm, KEY)
    first = send(farm, b"one kernel", 0)
    assert (first.key, first.label, first.version, first.size) == (KEY, LABEL, 1, 10)
    assert first.url == f"/v1/work/caches/{KEY}/content"
    assert content(farm) == b"one kernel"
    second = send(farm, b"one kernel, two kernels", 1)
    assert second.version == 2
    assert second.updated >= first.updated
    assert toolchain_caches.find(farm, KEY) == second
    assert content(farm) == b"one kernel, two kernels"
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(ToolchainCache)) == 1


@pytest.mark.parametrize("version", [0, 1, 3, 99])
def test_what_was_made_from_another_version_is_refused(farm, version):
    send(farm, b"one", 0)
    send(farm, b"two", 1)
    with pytest.raises(Conflict) as caught:
        send(farm, b"from long ago", version)
    assert caught.value.where["version"] == 2
    assert content(farm) == b"two"
    with farm.read() as session:  # it was refused before it was stored
        assert session.get(Blob, hashlib.sha256(b"from long ago").hexdigest()) is None


def test_of_two_that_send_at_once_one_is_refused(farm):
    send(farm, b"base", 0)
    ready = threading.Barrier(2)
    told = {}

    def worker(name: str) -> None:
        def chunks():
            ready.wait(10)  # both have passed the first look
            yield name.encode()

        digest = hashlib.sha256(name.encode()).hexdigest()
        update = KeptUpdate(label=LABEL, version=1, sha256=digest)
        try:
            told[name] = toolchain_caches.replace(farm, KEY, update, chunks()).version
        except Conflict as error:
            told[name] = error.where["version"]

    threads = [threading.Thread(target=worker, args=(name,)) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(told.values()) == [2, 2]
    view = toolchain_caches.find(farm, KEY)
    assert view.version == 2
    assert content(farm) in {b"left", b"right"}


def test_caches_of_others_are_others(farm):
    other = LABEL.replace("H200", "L4")
    send(farm, b"for one", 0)
    send(farm, b"for the other", 0, key=kept_key(other), label=other)
    assert content(farm) == b"for one"
    assert content(farm, kept_key(other)) == b"for the other"


def test_what_is_wrong_is_refused_and_nothing_is_kept(farm, monkeypatch):
    with pytest.raises(RequestError, match="not the SHA-256 of the label"):
        send(farm, b"x", 0, key="0" * 64)
    with pytest.raises(DigestMismatch):
        send(farm, b"x", 0, sha256="0" * 64)
    monkeypatch.setattr(toolchain_caches, "KEPT_BYTES", 8)
    with pytest.raises(TooLarge):
        send(farm, b"nine bytes", 0)
    with pytest.raises(NotFound):
        toolchain_caches.content(farm, KEY)
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


def test_a_worker_that_sends_what_is_there_already_shares_its_bytes(farm):
    other = LABEL.replace("H200", "L4")
    send(farm, b"the same", 0)
    send(farm, b"the same", 0, key=kept_key(other), label=other)
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 1
    assert content(farm, kept_key(other)) == b"the same"
