"""A whole farm of real processes, with short leases so that deaths are noticed while a test waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from enginehouse.client import Client
from farm.embedded import EmbeddedFarm

sys.path.insert(0, str(Path(__file__).parent))

IMPATIENT = {
    "ENGINEHOUSE_HEARTBEAT_S": "0.5",
    "ENGINEHOUSE_LEASE_S": "8",
    "ENGINEHOUSE_DISPATCH_EXPIRES_S": "2",
    "ENGINEHOUSE_TICK_S": "0.25",
    "ENGINEHOUSE_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "ENGINEHOUSE_WEBHOOK_HTTP": "true",
}


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedFarm]:
    home = tmp_path_factory.mktemp("farm") / "home"
    with EmbeddedFarm(home, workers=2, environment=IMPATIENT) as farm:
        yield farm


@pytest.fixture
def client(farm: EmbeddedFarm) -> Iterator[Client]:
    with Client(farm.url, farm.token) as client:
        yield client


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed that no other test of the run uses: it is part of the cache key, so the build is a real one."""
    return crc32(request.node.nodeid.encode()) >> 1
