"""One build at a time on each GPU, and which GPUs a worker may use."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from enginehouse.capability import Gpu
from workers.backends import get
from workers.gpus import one_of
from workers.probe.nvidia import Card, cards, visible


def card(number: int, capability: str = "9.0") -> Card:
    gpu = Gpu(name="NVIDIA H200", kind="nvidia", compute_capability=capability)
    return Card(gpu, f"GPU-{number:08x}-0000", "13.0")


CARDS = [card(0), card(1), card(2)]


def never() -> bool:
    return False


def test_each_build_gets_a_gpu_of_its_own(tmp_path: Path) -> None:
    with one_of(CARDS, never, tmp_path) as first, one_of(CARDS, never, tmp_path) as second:
        assert [first, second] == CARDS[:2]
    with one_of(CARDS, never, tmp_path) as again:
        assert again == CARDS[0]


def test_a_build_waits_for_a_gpu_and_may_give_up(tmp_path: Path) -> None:
    one = CARDS[:1]
    asked = iter([False, False, True])
    with one_of(one, never, tmp_path):
        began = time.monotonic()
        with one_of(one, lambda: next(asked), tmp_path) as none:
            assert none is None
        assert time.monotonic() - began >= 0.1
    with one_of([], never, tmp_path) as none:
        assert none is None


def test_a_gpu_that_is_given_back_is_taken(tmp_path: Path) -> None:
    got: list[Any] = []
    released = threading.Event()

    def wait() -> None:
        with one_of(CARDS[:1], never, tmp_path) as mine:
            got.append((mine, released.is_set()))

    with one_of(CARDS[:1], never, tmp_path):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        assert got == []
        released.set()
    thread.join(10)
    assert got == [(CARDS[0], True)]


def _hold(folder: str, held: Any) -> None:
    with one_of(CARDS[:1], never, Path(folder)):
        held.set()
        time.sleep(600)


def test_another_workers_build_counts_too_until_that_worker_dies(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    other = context.Process(target=_hold, args=(str(tmp_path), held), daemon=True)
    other.start()
    assert held.wait(60)
    until = time.monotonic() + 0.3
    with one_of(CARDS[:1], lambda: time.monotonic() > until, tmp_path) as none:
        assert none is None
    other.kill()
    other.join(10)
    with one_of(CARDS[:1], never, tmp_path) as mine:
        assert mine == CARDS[0]


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    (tmp_path / f"enginehouse-{CARDS[0].uuid}.lock").symlink_to(target)
    with pytest.raises(OSError, match="symbolic"), one_of(CARDS[:1], never, tmp_path):
        pass
    assert not target.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_lock_that_another_user_made_holds_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    lock = folder / f"enginehouse-{CARDS[0].uuid}.lock"
    lock.touch(0o644)
    os.chown(lock, 12345, 12345)
    with one_of(CARDS[:1], never, folder) as mine:
        assert mine == CARDS[0]


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (None, [0, 1, 2]), ("", []), ("1", [1]), ("2,0", [2, 0]), ("0,7,1", [0]), ("-1", []), ("NoDevFiles", []),
        ("GPU-00000001", [1]), ("GPU-0000000", []), (" 1 , 2 ", [1, 2]),
    ],
)  # fmt: skip
def test_cuda_visible_devices(allowed: str | None, expected: list[int]) -> None:
    assert visible(CARDS, allowed) == [CARDS[index] for index in expected]


def test_the_driver_here() -> None:
    for found in cards():
        assert found.uuid.startswith(("GPU-", "MIG-"))
        assert found.gpu.kind == "nvidia"


@pytest.mark.parametrize(
    ("capabilities", "missing"),
    [
        ([], set()), (["9.0"], set()), (["8.9"], set()), (["8.6"], {"fp8"}), (["7.5"], {"fp8", "bf16", "tf32"}),
        (["9.0", "8.0"], {"fp8"}), ([None], set()),
    ],
)  # fmt: skip
def test_precisions_that_the_weakest_gpu_has_not(
    capabilities: list[str | None], missing: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Card(Gpu(name="x", kind="nvidia", compute_capability=one), "GPU-1", "13.0") for one in capabilities]
    monkeypatch.setattr("workers.probe.nvidia.cards", lambda: found)
    backend = get("tensorrt")
    assert set(backend.precisions) - set(backend.offered()) == missing
