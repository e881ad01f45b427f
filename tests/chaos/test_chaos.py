"""The short form of the chaos suite: the farm as in production dies part by part, and keeps every promise."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from services.process import missing

from chaos.run import SHORT, run
from chaos.servers import ServerMissing
from farm.errors import RedisMissing

SEED = 1


def tell(folder: Path, lines: list[str]) -> None:
    """Shown when the test fails."""
    sys.stdout.write("\n".join([*lines, f"On failure the logs stay in {folder / 'home' / 'logs'}", ""]))


@pytest.mark.timeout(600)
def test_nothing_that_was_accepted_is_lost():
    folder = Path(tempfile.mkdtemp(prefix="enginehouse-chaos-"))  # not pytest's own, which no other user may enter
    said: list[str] = []
    try:
        figures = run(SHORT, SEED, folder, said.append)
    except (ServerMissing, RedisMissing) as error:
        shutil.rmtree(folder, ignore_errors=True)
        missing("a server of the chaos suite", str(error))
    except BaseException:
        tell(folder, said)
        raise
    found = figures.findings
    tell(folder, [*said, figures.table()])
    assert (found.lost, found.twice, found.wrong) == ([], [], [])
    assert found.accepted == found.ended >= SHORT.jobs
    assert found.given_up == []
    assert found.artifacts_read == found.origins["built"] > 0
    happened = {one.name for one in figures.recovered if one.count}
    assert len(happened) + len(figures.lacking) == len(SHORT.times), figures.recovered
    assert all(one.first_end_s for one in figures.recovered if one.count), "no build ended after a fault"
    shutil.rmtree(folder, ignore_errors=True)
