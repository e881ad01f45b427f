"""What the machine tells of itself, and what a process takes of memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.pipeline.footprint import Reading, grown_bytes, reading
from workers.pipeline.machine import clock_mhz, governor, state, temperature_c


def test_clock_and_governor_of_our_cores(tmp_path: Path) -> None:
    for core, khz, mode in ((0, 2_000_000, "schedutil"), (1, 3_000_000, "schedutil"), (2, 9_000_000, "performance")):
        folder = tmp_path / f"cpu{core}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{khz}\n")
        (folder / "scaling_governor").write_text(f"{mode}\n")
    assert clock_mhz([0, 1], tmp_path) == 2500.0
    assert governor([0, 1], tmp_path) == "schedutil"
    assert governor([0, 2], tmp_path) == "performance, schedutil"


def test_a_guest_knows_the_nominal_clock_or_none(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\ncpu MHz\t\t: 2600.000\n\nprocessor\t: 1\ncpu MHz\t\t: 1000.000\n")
    assert clock_mhz([0], tmp_path, cpuinfo) == 2600.0
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 50.00\n")
    assert clock_mhz([0], tmp_path, cpuinfo) is None
    assert governor([0], tmp_path) is None


def test_the_hottest_zone_of_a_processor(tmp_path: Path) -> None:
    for number, (kind, value) in enumerate([("x86_pkg_temp", "41000"), ("cpu-thermal", "43500"), ("nvme", "70000")]):
        folder = tmp_path / f"thermal_zone{number}"
        folder.mkdir()
        (folder / "type").write_text(kind + "\n")
        (folder / "temp").write_text(value + "\n")
    assert temperature_c(tmp_path) == 43.5
    assert temperature_c(tmp_path / "nothing") is None


def test_this_machine_tells_at_least_its_load() -> None:
    now = state([0], gpu="GPU-00000000-0000-0000-0000-000000000000")
    assert now.load >= 0
    assert now.gpu_clock_mhz is None  # there is no such GPU


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        ((100, 100), (180, 250), 150),  # it peaked at 250
        ((100, 130), (180, 250), 150),
        ((100, 300), (180, 300), 80),  # the imports' own peak was higher: what is held now is known
        ((100, 100), (90, 100), 0),
    ],
)
def test_growth_is_the_peak_above_what_was_held(before: tuple[int, int], after: tuple[int, int], grown: int) -> None:
    first, second = (Reading(now=now, peak=peak) for now, peak in (before, after))
    assert grown_bytes(first, second) == grown


def test_a_reading_sees_what_was_allocated_and_freed() -> None:
    before = reading()
    size = 256 * 2**20
    block = bytearray(b"x") * size
    held = reading()
    del block
    after = reading()
    assert held.now >= before.now + size * 0.9
    assert after.peak >= before.now + size * 0.9
    assert after.now <= held.now - size * 0.9
