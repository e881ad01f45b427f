from __future__ import annotations

import itertools
import json
import threading
from typing import Any

import pytest

from enginehouse import errors
from enginehouse.connection import Connection
from enginehouse.states import JobState
from enginehouse.views import Event
from enginehouse.watch import events, wait

NOW = "2026-11-21T00:00:00Z"
JOB = {
    "id": "job_1", "name": "", "project": "default", "model": "0" * 64, "dataset": None, "state": "running",
    "priority": "normal", "gates": {}, "limits": {}, "builds": [], "created": NOW, "ended": None,
}  # fmt: skip


class JobFarm:
    """A job that ends on command, and its event stream."""

    def __init__(self, farm: Any) -> None:
        self.farm = farm
        self.state = "running"
        self.log: list[tuple[int, str]] = [(1, "job.created"), (4, "build.running")]
        self.changed = threading.Condition()
        self.streams = 0
        self.cut_after = 10**9
        self.ping_s = 5.0
        farm.route("GET", "/v1/jobs/job_1", lambda r: r.answer(200, {**JOB, "state": self.state}))
        farm.route("GET", "/v1/events", self.stream)

    def add(self, number: int, kind: str) -> None:
        with self.changed:
            self.log.append((number, kind))
            if kind.startswith("job."):
                self.state = kind[4:]
            self.changed.notify_all()

    def stream(self, request: Any) -> None:
        self.streams += 1
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream; charset=utf-8")
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        cursor = int(request.headers.get("Last-Event-ID") or request.query.get("after") or 10**9)
        request.wfile.write(b"retry: 1000\n\n")
        sent = 0
        try:
            while sent < self.cut_after:
                with self.changed:
                    new = [entry for entry in self.log if entry[0] > cursor][: self.cut_after]
                    if not new and self.changed.wait(self.ping_s):
                        continue
                for number, kind in new:
                    data = json.dumps({"id": number, "time": NOW, "kind": kind, "job": "job_1"})
                    request.wfile.write(f"id: {number}\nevent: {kind}\ndata: {data}\n\n".encode())
                    cursor = number
                    sent += 1
                if not new:
                    request.wfile.write(b": ping\n\n")
                request.wfile.flush()
        except OSError:
            return


@pytest.fixture
def job_farm(small_farm: Any) -> JobFarm:
    return JobFarm(small_farm)


def later(seconds: float, do: Any, *args: Any) -> threading.Timer:
    timer = threading.Timer(seconds, do, args)
    timer.start()
    return timer


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_the_end_is_noticed_by_the_stream(job_farm: JobFarm, connection: Connection, timeout: float | None) -> None:
    later(0.2, job_farm.add, 9, "job.succeeded")
    heard: list[Event] = []
    view = wait(connection, "job_1", timeout, heard.append)
    assert view.state is JobState.SUCCEEDED
    assert [event.id for event in heard] == [1, 4, 9]
    assert job_farm.streams == 1


def test_a_job_that_had_ended_answers_at_once(job_farm: JobFarm, connection: Connection) -> None:
    job_farm.state = "failed"
    assert wait(connection, "job_1", timeout=5).state is JobState.FAILED


def test_lost_streams_are_taken_up_again_and_nothing_is_told_twice(job_farm: JobFarm, connection: Connection) -> None:
    job_farm.cut_after = 1
    later(0.1, job_farm.add, 6, "build.succeeded")
    later(0.2, job_farm.add, 9, "job.succeeded")
    heard: list[Event] = []
    assert wait(connection, "job_1", on_event=heard.append).state is JobState.SUCCEEDED
    # The end itself may be known from the job before its event has come.
    assert [event.id for event in heard] in ([1, 4, 6], [1, 4, 6, 9])
    assert job_farm.streams >= 2


@pytest.mark.parametrize("status", [404, 503])
def test_without_a_stream_it_polls(job_farm: JobFarm, connection: Connection, status: int) -> None:
    job_farm.farm.routes.insert(0, ("GET", "/v1/events", lambda r: r.problem(status, "farm.not_ready", "full")))
    later(0.2, job_farm.add, 9, "job.cancelled")
    assert wait(connection, "job_1", timeout=10).state is JobState.CANCELLED


def test_a_proxy_that_answers_with_a_page_is_no_stream(job_farm: JobFarm, connection: Connection) -> None:
    job_farm.farm.routes.insert(0, ("GET", "/v1/events", lambda r: r.answer(200, b"<html>", kind="text/html")))
    later(0.1, job_farm.add, 9, "job.succeeded")
    assert wait(connection, "job_1", timeout=10).state is JobState.SUCCEEDED


@pytest.mark.parametrize("ping_s", [5.0, 0.02])
def test_out_of_time(job_farm: JobFarm, connection: Connection, ping_s: float) -> None:
    job_farm.ping_s = ping_s
    with pytest.raises(TimeoutError, match="goes on"):
        wait(connection, "job_1", timeout=0.3)


def test_an_unknown_job_is_not_found(small_farm: Any, connection: Connection) -> None:
    with pytest.raises(errors.NotFound):
        wait(connection, "job_1", timeout=5)


def test_no_token_is_not_waited_for(job_farm: JobFarm, connection: Connection) -> None:
    job_farm.farm.routes.insert(0, ("GET", ".*", lambda r: r.problem(401, "request.unauthenticated", "no")))
    with pytest.raises(errors.Unauthenticated):
        wait(connection, "job_1", timeout=5)


def test_a_restart_of_the_farm_is_waited_out(job_farm: JobFarm, connection: Connection) -> None:
    farm = job_farm.farm
    farm.faults = [("/v1/jobs/job_1", lambda r: r.cut())] + [("/v1/", lambda r: r.cut())] * 6
    connection.met = True
    later(0.3, job_farm.add, 9, "job.succeeded")
    assert wait(connection, "job_1", timeout=20).state is JobState.SUCCEEDED
    assert not farm.faults


def test_a_farm_that_stops_while_it_is_polled_is_waited_for(job_farm: JobFarm, connection: Connection) -> None:
    farm = job_farm.farm
    farm.faults = [("/v1/events", lambda r: r.problem(503, "farm.not_ready", "stopping"))]
    farm.faults += [("/v1/", lambda r: r.cut())] * 6
    connection.met = True
    later(0.3, job_farm.add, 9, "job.succeeded")
    assert wait(connection, "job_1", timeout=20).state is JobState.SUCCEEDED
    assert not farm.faults


def test_a_farm_that_stays_away_ends_the_wait(
    job_farm: JobFarm, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enginehouse.watch.PATIENCE_S", 0.1)
    job_farm.farm.routes.insert(0, ("GET", ".*", lambda r: r.cut()))
    connection.met = True
    with pytest.raises(errors.FarmUnreachable):
        wait(connection, "job_1", timeout=30)


def test_events_go_on_over_lost_connections(job_farm: JobFarm, connection: Connection) -> None:
    job_farm.cut_after = 1
    job_farm.log += [(5, "build.phase"), (7, "build.phase")]
    assert [event.id for event in itertools.islice(events(connection, "job_1", after=0), 4)] == [1, 4, 5, 7]
    assert job_farm.farm.calls("/v1/events")[-1][2]["Last-Event-ID"] in {"5", "7"}


def test_messages_of_other_kinds_are_passed_over(job_farm: JobFarm, connection: Connection) -> None:
    def stream(request: Any) -> None:
        good = json.dumps({"id": 3, "time": NOW, "kind": "job.created"}).encode()
        body = b"retry: 5\r\n\r\ndata: not json\n\ndata: {}\n\n: hello\n\nid: 3\nevent: x\ndata: " + good + b"\n\n"
        request.answer(200, body, kind="text/event-stream")

    job_farm.farm.routes.insert(0, ("GET", "/v1/events", stream))
    assert next(events(connection)).id == 3
