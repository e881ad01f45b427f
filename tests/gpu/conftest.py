"""Tests that need an NVIDIA GPU and TensorRT. Without them they are skipped; under ``make test-gpu`` they fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract.backends_models import order, write
from gpu.support import Built

from workers.backends import get
from workers.pipeline import run
from workers.probe.nvidia import cards

REQUIRED = os.environ.get("ENGINEHOUSE_TEST_GPU", "") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is a GPU test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)


def why_not() -> str | None:
    """What this machine lacks; None: nothing."""
    try:
        backend = get("tensorrt")
        backend.toolchain()
        lacks = backend.machine_lacks()
    except (ImportError, OSError) as error:  # PackageNotFoundError is an ImportError
        return f"{type(error).__name__}: {error}"
    return lacks or (None if cards() else "the driver shows no GPU")


@pytest.fixture(scope="session", autouse=True)
def _gpu() -> None:
    reason = why_not()
    if reason is not None:
        message = f"no GPU with TensorRT here: {reason}"
        if REQUIRED:
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


@pytest.fixture(scope="session")
def precisions() -> tuple[str, ...]:
    """Those that the GPU here has."""
    return tuple(str(one) for one in get("tensorrt").offered())


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Built]:
    """Builds a model in this process: ``build(model, 'fp16', options…, profiles=…)``."""
    number = iter(range(1000))

    def make(model: Any, precision: str, *, work: Path | None = None, **recipe: Any) -> Built:
        folder = work or tmp_path / str(next(number))
        path = model if isinstance(model, Path) else write(model, folder / "in")
        told = order(path, f"tensorrt:{precision}", folder / "work", **recipe)
        return Built(told, run(told))

    return make
