"""A farm's registry on SQLite and on PostgreSQL, a receiver, and a courier that works when the test says so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.webhooks.hand import Hand
from integration.webhooks.receiver import Receiver, receiving

from scheduler import tokens
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "scheduler"))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=database_url,
        secret_key="k" * 32,
        broker_url="redis://127.0.0.1:1/0",
        webhook_networks="127.0.0.0/8",
        webhook_http=True,
        webhook_time_s=30,
    )


@pytest.fixture
def farm(settings: Settings) -> Iterator[Farm]:
    upgrade(settings.database_url)
    farm = Farm(settings)
    farm.broker.send = lambda *_, **__: False  # no events go through the broker
    tokens.bootstrap(farm)
    yield farm
    farm.dispose()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def hand(farm: Farm) -> Hand:
    return Hand(farm)
