"""A farm's registry and store without its processes; the broker's address answers nobody."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest

from scheduler import tokens
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        database_url=database_url,
        secret_key="k" * 32,
        signing_key="5" * 64,
        broker_url="redis://127.0.0.1:1/0",
    )


@pytest.fixture
def farm(settings: Settings) -> Iterator[Farm]:
    upgrade(settings.database_url)
    farm = Farm(settings)
    farm.broker.send = lambda *_, **__: False  # the outbox keeps what is owed; tests/e2e has a real broker
    tokens.bootstrap(farm)
    yield farm
    farm.dispose()


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    folder = Path(onnx.__file__).parent / "backend/test/data/pytorch-converted"
    return (folder / "test_Linear/model.onnx").read_bytes()


@pytest.fixture
def model(farm: Farm, model_bytes: bytes) -> str:
    import farmhand

    return farmhand.push(farm, model_bytes)
