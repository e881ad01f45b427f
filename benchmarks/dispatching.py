"""(h) A dispatch cycle over a long line on PostgreSQL: time, statements and memory, from 1,000 to 1,000,000 waiting.

1,000 projects wait for 500 pools. A *full* cycle finds every slot busy; a *next* cycle finds one free, as when a build
has ended; a *fresh* cycle finds one free in every pool. Each is timed against one ``SELECT count(*)`` of the line.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import event, func, insert, select, text, update

from benchmarks.figures import Figure
from benchmarks.postgres import postgres
from enginehouse.capability import Capability, Hardware
from enginehouse.request import Recipe
from enginehouse.signature import ModelSignature
from enginehouse.states import AttemptState, BuildState
from enginehouse.targets import Precision, parse_target
from enginehouse.work import SignOn
from scheduler import dispatch, ids, line, tokens, workers
from scheduler.cachekey import request_key
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import IN_LINE, Attempt, Build, Job, Model, Project, Worker
from scheduler.settings import Settings

LINES = (1_000, 10_000, 100_000, 1_000_000)
PROJECTS = 1_000
POOLS = 500
CYCLES = 5
SHA = "0" * 64

_PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8)
_CHUNK = 10_000


def dispatching(folder: Path) -> Iterator[Figure]:
    """Three figures for each length of the line."""
    with postgres(folder) as url:
        upgrade(url)
        settings = Settings(
            data_dir=folder, database_url=url, secret_key="k" * 32, signing_key="5" * 64, lease_s=86_400
        )  # nobody beats, and nobody is lost
        farm = Farm(settings)
        farm.broker.send = lambda *_, **__: True  # type: ignore[method-assign]  # a cycle's own cost, without Redis
        tokens.bootstrap(farm)
        _people_and_pools(farm)
        _hold(farm)
        there = 0
        for length in LINES:
            _lengthen(farm, there, length)
            there = length
            dispatch.tick(farm)  # the reasons are told
            _undo(farm)
            yield from _cycles(farm, length)
        farm.dispose()


def _cycles(farm: Farm, length: int) -> Iterator[Figure]:
    counts = [_timed(lambda: _counted(farm)) for _ in range(CYCLES)]
    for name, free in (("full", 0), ("next", 1), ("fresh", POOLS)):
        took, statements = [], []
        for _ in range(CYCLES):
            _free(farm, free)
            with _Statements(farm) as seen:
                took.append(_timed(lambda: dispatch.tick(farm)))
            statements.append(seen.count)
            _undo(farm)
        told = {
            "statements": round(median(statements)),
            "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        yield Figure(
            f"(h) {name} cycle, {length:,} waiting, {POOLS} pools", [s * 1e3 for s in took], [s * 1e3 for s in counts],
            "ms", "count of the line", "", told,
        )  # fmt: skip


class _Statements:
    """How many statements the farm sends meanwhile."""

    def __init__(self, farm: Farm) -> None:
        self.engine = farm.engine
        self.count = 0

    def __enter__(self) -> _Statements:
        event.listen(self.engine, "before_cursor_execute", self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._seen)

    def _seen(self, *_: object) -> None:
        self.count += 1


def _people_and_pools(farm: Farm) -> None:
    moment = datetime.now(UTC)
    signature = ModelSignature(format="onnx", inputs=[], outputs=[], operators={}).model_dump(mode="json")
    with farm.write() as session:
        projects = [{"id": f"p{n}", "name": f"p{n}", "created": moment} for n in range(PROJECTS)]
        session.execute(insert(Project), projects)
        file = {"path": "model.onnx", "sha256": SHA, "size": 1}
        session.execute(
            insert(Model),
            [
                {"project_id": f"p{n}", "id": SHA, "serial": f"m{n}", "name": "", "size": 1, "files": [file],
                 "signature": signature, "created": moment}
                for n in range(PROJECTS)
            ],
        )  # fmt: skip
        session.execute(
            insert(Job),
            [
                {"id": f"j{n}", "project_id": f"p{n}", "name": "", "model_id": SHA, "state": "waiting", "ladder": False,
                 "priority": "normal", "gates": {}, "limits": {}, "request_id": "", "request_digest": SHA,
                 "created": moment}
                for n in range(PROJECTS)
            ],
        )  # fmt: skip
    operator = tokens.Principal(None, tokens.DEFAULT_PROJECT, frozenset({"work"}), "bench")
    for number in range(POOLS):
        kinds = [("openvino", _PRECISIONS[number % 3]), ("onnxruntime", _PRECISIONS[number // 3 % 3])]
        capabilities = [
            Capability(backend=name, toolchain={name: "1"}, precisions=[precision], formats=["onnx"], options_schema={})
            for name, precision in kinds
        ]
        hardware = Hardware(
            hardware_class=f"class-{number}", tags=["cpu", f"zone{number % 10}"], cpu_model="", cores=2, memory_mb=1024
        )
        announced = SignOn(
            name=f"w{number}", boot_id="boot-0001", slots=1, pipeline="1", hardware=hardware, capabilities=capabilities
        )
        workers.sign_on(farm, operator, announced)


def _lengthen(farm: Farm, there: int, length: int) -> None:
    """More builds: the projects take turns, and each asks for a few things."""
    moment = datetime.now(UTC) - timedelta(hours=1)
    targets = [
        parse_target(f"{backend}:{precision}{zone}")
        for backend in ("openvino", "onnxruntime")
        for precision in _PRECISIONS
        for zone in ("", "@zone1", "@zone2")
    ]
    for begin in range(there, length, _CHUNK):
        rows: list[dict[str, Any]] = []
        for number in range(begin, min(begin + _CHUNK, length)):
            project = number % PROJECTS
            target = targets[(project + number // PROJECTS % 3) % len(targets)]
            recipe = Recipe(model=SHA, target=target, seed=number)
            rows.append(
                {"id": ids.new("build"), "job_id": f"j{project}", "project_id": f"p{project}", "position": 0, "rung": 0,
                 "model_id": SHA, "recipe": recipe.model_dump(mode="json"), "gates": {}, "reason": "", "note": "",
                 "state": BuildState.WAITING.value, "demand": line.demand("onnx", target), "avoid": [],
                 "due": moment + timedelta(milliseconds=number), "request_key": request_key(recipe), "attempt": 0,
                 "tries": 0, "fence": 0, "not_before": moment, "created": moment}
            )  # fmt: skip
        with farm.write() as session:
            session.execute(insert(Build), rows)
    with farm.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _hold(farm: Farm) -> None:
    """Every worker's slot is taken by a build that is none of the line's."""
    moment = datetime.now(UTC)
    target = parse_target("openvino:fp32")
    recipe = Recipe(model=SHA, target=target)
    with farm.write() as session:
        workers_ = session.execute(select(Worker.id, Worker.pool).order_by(Worker.id)).all()
        session.execute(
            insert(Build),
            [
                {"id": f"held{n}", "job_id": "j0", "project_id": "p0", "position": 0, "rung": 0, "model_id": SHA,
                 "recipe": recipe.model_dump(mode="json"), "gates": {}, "reason": "", "note": "", "avoid": [],
                 "state": BuildState.RUNNING.value, "demand": line.demand("onnx", target), "due": moment,
                 "request_key": request_key(recipe), "attempt": 1, "tries": 0, "fence": 1, "not_before": moment,
                 "created": moment}
                for n in range(POOLS)
            ],
        )  # fmt: skip
        session.execute(
            insert(Attempt),
            [
                {"build_id": f"held{n}", "number": 1, "state": AttemptState.RUNNING.value, "pool": pool,
                 "worker_id": worker, "charged_s": 1.0, "boot_id": "boot-0001", "fence": 1,
                 "until": moment + timedelta(days=1), "created": moment, "started": moment, "attachments": {}}
                for n, (worker, pool) in enumerate(workers_)
            ],
        )  # fmt: skip


def _free(farm: Farm, free: int) -> None:
    """Let so many of the held slots go."""
    with farm.write() as session:
        held = [f"held{n}" for n in range(free)]
        session.execute(update(Attempt).where(Attempt.build_id.in_(held)).values(state=AttemptState.SUCCEEDED.value))


def _undo(farm: Farm) -> None:
    """Put what was dispatched back into the line, unseen, and take the slots again."""
    with farm.write() as session:
        session.execute(text("DELETE FROM attempts WHERE build_id NOT LIKE 'held%'"))
        session.execute(update(Attempt).values(state=AttemptState.RUNNING.value))
        back = {"state": BuildState.WAITING.value, "attempt": 0, "pool": None, "cache_key": None}
        session.execute(update(Build).where(Build.state == BuildState.DISPATCHED.value).values(**back))
        session.execute(text("DELETE FROM events"))
        session.execute(text("DELETE FROM outbox"))


def _counted(farm: Farm) -> None:
    with farm.read() as session:
        session.scalar(select(func.count()).select_from(Build).where(text(IN_LINE)))


def _timed(do: Any) -> float:
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin
