"""The pure parts of webhooks: waits, secrets, the CloudEvent, and the list of kinds."""

from __future__ import annotations

import ast
import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enginehouse.errors import RequestError
from enginehouse.event_kinds import KINDS, checked, matches
from enginehouse.states import BuildState, JobState, PoolMode, WorkerMode
from scheduler.registry.tables import EventRow
from scheduler.settings import Settings
from scheduler.webhooks import message
from scheduler.webhooks.schedule import JITTER, LINE_MOST_S, MOST_TRIES, WAITS_S, line_wait_s, wait_s
from scheduler.webhooks.sealing import Seal, Unreadable, mint

ROOT = Path(__file__).parents[3]
MOMENT = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)


def settings(key: str = "k" * 32) -> Settings:
    return Settings(secret_key=key)


# --- waits -----------------------------------------------------------------------------------


def test_waits_grow_with_chance_beside_them() -> None:
    for tries, wait in enumerate(WAITS_S, 1):
        assert wait_s(tries, 0) == wait
        assert wait_s(tries, 1) == pytest.approx(wait * (1 + JITTER))
    assert list(WAITS_S) == sorted(WAITS_S)
    assert len(WAITS_S) == MOST_TRIES - 1
    assert 20 * 3600 < sum(WAITS_S) < 28 * 3600  # docs/webhooks.md: about a day
    assert wait_s(1000, 0) == WAITS_S[-1]


def test_a_receiver_that_is_away_is_asked_once_an_hour_and_obeyed_for_as_long() -> None:
    assert [line_wait_s(failures, 0) for failures in (1, 2, 3)] == [5, 30, 120]
    assert line_wait_s(1000, 0) == LINE_MOST_S
    assert line_wait_s(1, 0, asked_s=60) == 60
    assert line_wait_s(1, 0, asked_s=1) == 5
    assert line_wait_s(1, 0, asked_s=1e9) == LINE_MOST_S


def test_the_page_states_the_schedule() -> None:
    text = (ROOT / "docs/webhooks.md").read_text()
    said = {5: "5 s", 30: "30 s", 120: "2 min", 600: "10 min", 1800: "30 min", 3600: "1 h", 7200: "2 h",
            14_400: "4 h", 28_800: "8 h"}  # fmt: skip
    assert ", ".join(said[int(wait)] for wait in WAITS_S) in text
    assert f"{MOST_TRIES} tries" in text


# --- secrets ---------------------------------------------------------------------------------


def test_a_secret_has_the_form_of_standard_webhooks_and_is_new_every_time() -> None:
    secret = mint()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert mint() != secret


def test_what_is_sealed_is_opened_by_the_same_key_alone() -> None:
    secret = mint()
    sealed = Seal(settings()).close(secret)
    assert secret not in sealed
    assert Seal(settings()).open(sealed) == secret
    for wrong in (Seal(settings("x" * 32)).close(secret), "", "nonsense", sealed[:-4] + "AAAA"):
        with pytest.raises(Unreadable):
            Seal(settings()).open(wrong)


# --- the CloudEvent --------------------------------------------------------------------------


def event(kind: str, **more: object) -> EventRow:
    values = {"id": 7, "time": MOMENT, "kind": kind, "project_id": "default", "data": {}, **more}
    return EventRow(**values)


@pytest.mark.parametrize(
    ("row", "subject", "data"),
    [
        (event("job.failed", job_id="job_1", data={"state": "failed"}), "jobs/job_1",
         {"project": "p", "job": "job_1", "state": "failed"}),
        (event("build.failed", job_id="job_1", build_id="build_2"), "builds/build_2",
         {"project": "p", "job": "job_1", "build": "build_2"}),
        (event("model.created", data={"model": "ab"}), "models/ab", {"project": "p", "model": "ab"}),
        (event("farm.maintenance", project_id=None, data={"on": True}), None, {"project": "p", "on": True}),
    ],
)  # fmt: skip
def test_an_event_as_it_is_sent(row: EventRow, subject: str | None, data: dict[str, object]) -> None:
    found = json.loads(message.body_of(row, "p", "https://farm.example"))
    assert found == {
        "specversion": "1.0",
        "id": message.id_of(row),
        "source": "https://farm.example",
        "type": f"enginehouse.{row.kind}",
        **({"subject": subject} if subject else {}),
        "time": "2026-11-22T01:02:03.456000Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000007",
        "data": data,
    }


def test_the_same_event_is_the_same_bytes_and_another_time_another_id() -> None:
    row = event("job.failed", data={"reason": "ümläut \ud800"})
    assert message.body_of(row, "p", "s") == message.body_of(row, "p", "s")
    assert message.body_of(row, "p", "s").isascii()
    later = event("job.failed", time=MOMENT.replace(microsecond=457000))
    assert message.id_of(row).startswith("evt_7_")
    assert message.id_of(row) != message.id_of(later)


# --- kinds -----------------------------------------------------------------------------------


def emitted() -> set[str]:
    """The kinds that the code emits, with those that it puts together from states."""
    found: set[str] = set()
    for file in (ROOT / "scheduler").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith(("emit", "told_of_worker")):
                continue
            for each in node.args:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    found.add(each.value)
    words = {"open": "resumed"}
    found |= {f"job.{state}" for state in JobState}
    found |= {f"build.{state}" for state in BuildState}
    found |= {f"worker.{words.get(mode, mode)}" for mode in WorkerMode}
    found |= {f"pool.{words.get(mode, mode)}" for mode in PoolMode}
    return found | {"worker.online", "worker.lost", "worker.gone", "webhook.test"}


def test_every_kind_that_is_emitted_is_listed_and_documented() -> None:
    assert emitted() == set(KINDS)
    page = (ROOT / "docs/webhooks.md").read_text()
    for kind, meaning in KINDS.items():
        assert f"| `{kind}` | {meaning} |" in page


def test_patterns() -> None:
    assert checked(["job.failed", "build.*", "*", "job.failed"]) == ["job.failed", "build.*", "*"]
    for wrong in ("job", "job.", "job.unknown", "nothing.*", "*.failed", "job.fail*", ""):
        with pytest.raises(RequestError, match="is no kind of event"):
            checked([wrong])
    assert matches(["job.*"], "job.failed")
    assert matches(["*"], "job.failed")
    assert matches(["build.failed", "job.failed"], "job.failed")
    assert not matches(["build.*", "job.succeeded"], "job.failed")
