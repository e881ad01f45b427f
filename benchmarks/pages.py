"""(j) What the server takes to draw the list of jobs and one job, with 100,000 jobs in the registry beside 100."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import insert

from api.app import create_app, door
from benchmarks.figures import Figure
from enginehouse.request import Recipe
from enginehouse.signature import ModelSignature
from enginehouse.states import BuildState, JobState
from enginehouse.targets import parse_target
from scheduler import ids, line, tokens
from scheduler.cachekey import request_key
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import Build, Job, Model
from scheduler.settings import Settings

FEW = 100
MANY = 100_000
BUILDS = 4
LOOKS = 30
SHA = "0" * 64

_TARGETS = [parse_target(f"openvino:{name}") for name in ("fp32", "fp16", "int8", "bf16")]
_STATES = (BuildState.CANCELLED, BuildState.WAITING, BuildState.FAILED)
_CHUNK = 5_000


def pages(folder: Path) -> Iterator[Figure]:
    """The same pages of two farms, in turns."""
    few, many = (_farm(folder / str(count), count) for count in (FEW, MANY))
    middle = {client: _jobs(client)[-1] for client in (few, many)}
    for name, address in (
        ("list of jobs", "/jobs"),
        ("list of jobs, filtered by state", "/jobs?state=waiting"),
        ("one job", "/jobs/{}"),
    ):
        took: dict[FlaskClient, list[float]] = {few: [], many: []}
        for _ in range(LOOKS):
            for client, times in took.items():
                begin = time.perf_counter()
                answer = client.get(address.format(middle[client]))
                times.append((time.perf_counter() - begin) * 1e3)
                if answer.status_code != 200:
                    raise RuntimeError(f"{address}: {answer.status_code}")
        yield Figure(
            f"(j) {name}, {MANY:,} jobs", took[many][5:], took[few][5:], "ms", f"with {FEW} jobs", "100 ms or less",
        )  # fmt: skip
    for client in (few, many):
        door(client.application).close()


def _farm(folder: Path, jobs: int) -> FlaskClient:
    folder.mkdir()
    url = f"sqlite:///{folder / 'registry.db'}"
    upgrade(url)
    settings = Settings(
        data_dir=folder, database_url=url, secret_key="k" * 32, signing_key="5" * 64, open_loopback=True
    )
    farm = Farm(settings)
    farm.broker.send = lambda *_, **__: True  # type: ignore[method-assign]  # nothing is dispatched
    tokens.bootstrap(farm)
    _fill(farm, jobs)
    return create_app(settings, farm).test_client()


def _fill(farm: Farm, jobs: int) -> None:
    moment = datetime.now(UTC) - timedelta(days=30)
    project = tokens.DEFAULT_PROJECT
    signature = ModelSignature(format="onnx", inputs=[], outputs=[], operators={}).model_dump(mode="json")
    file = {"path": "model.onnx", "sha256": SHA, "size": 1}
    with farm.write() as session:
        session.execute(
            insert(Model).values(
                project_id=project, id=SHA, serial=ids.new("model"), name="net.onnx", size=1, files=[file],
                signature=signature, shared=False, created=moment,
            )
        )  # fmt: skip
    for begin in range(0, jobs, _CHUNK):
        numbers = range(begin, min(begin + _CHUNK, jobs))
        asked: list[dict[str, Any]] = []
        builds: list[dict[str, Any]] = []
        for number in numbers:
            state = _STATES[number % len(_STATES)]
            created = moment + timedelta(seconds=number)
            ended = None if state is BuildState.WAITING else created
            job = ids.new("job")
            shown = {BuildState.WAITING: JobState.WAITING, BuildState.FAILED: JobState.FAILED}
            asked.append(
                {"id": job, "project_id": project, "name": f"night {number}", "model_id": SHA, "ladder": False,
                 "state": shown.get(state, JobState.CANCELLED).value, "priority": "normal", "gates": {}, "limits": {},
                 "request_id": "", "request_digest": SHA, "created": created, "ended": ended}
            )  # fmt: skip
            for position in range(BUILDS):
                recipe = Recipe(model=SHA, target=_TARGETS[position], seed=number)
                builds.append(
                    {"id": ids.new("build"), "job_id": job, "project_id": project, "position": position, "rung": 0,
                     "model_id": SHA, "recipe": recipe.model_dump(mode="json"), "gates": {}, "reason": "", "note": "",
                     "state": state.value, "demand": line.demand("onnx", _TARGETS[position]), "avoid": [],
                     "due": created, "request_key": request_key(recipe), "attempt": 0, "tries": 0, "fence": 0,
                     "not_before": created, "created": created, "ended": ended}
                )  # fmt: skip
        with farm.write() as session:
            session.execute(insert(Job), asked)
            session.execute(insert(Build), builds)


def _jobs(client: FlaskClient) -> list[str]:
    found: list[dict[str, Any]] = client.get("/v1/jobs?limit=50").get_json()["items"]
    return [one["id"] for one in found]
