"""Waiting for what a real farm does, by looking, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

from chaos.stack import leaders
from enginehouse.client import Client
from enginehouse.states import BuildState, Phase
from enginehouse.views import BuildView
from farm.embedded import EmbeddedFarm

T = TypeVar("T")
ORDER = list(Phase)


def until(look: Callable[[], T], what: str, seconds: float = 60) -> T:
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def running(client: Client, build: str, phase: Phase = Phase.FETCH) -> BuildView:
    """The build, once it runs and has come to the phase."""

    def look() -> BuildView | None:
        view = client.builds.get(build)
        assert view.state not in {BuildState.SUCCEEDED, BuildState.FAILED}, (
            view.failure or "it was too quick for the test"
        )
        here = view.phase is not None and ORDER.index(view.phase) >= ORDER.index(phase)
        return view if view.state is BuildState.RUNNING and here else None

    return until(look, f"{build} runs and is in {phase}")


def part_of(farm: EmbeddedFarm, view: BuildView) -> str:
    """The name of the farm's part whose worker holds the build."""
    return next(name for name in farm.processes if str(view.attempts[-1].worker).endswith(name.removeprefix("worker")))


def children_of_build(farm: EmbeddedFarm, part: str) -> list[psutil.Process]:
    """The processes of a build that a worker runs: those under it that lead a session of their own."""
    pid = farm.processes[part].pid
    return leaders(pid) if pid is not None else []
