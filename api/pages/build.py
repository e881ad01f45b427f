"""One build: why it failed or what came of it, how it went, its log, its layers, its files and where they are from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Scope
from api.pages import live, page, see
from api.pages.drawing.lanes import timeline as drawn_timeline
from api.pages.drawing.latency import distribution
from api.pages.drawing.pareto import pareto
from api.pages.job import Elsewhere
from api.pages.layers import ORDERS, by_type, in_order
from api.pages.snippets import fetching
from api.routing import Call, Router
from enginehouse.errors import EnginehouseError, NotFound
from enginehouse.ladder import described
from enginehouse.report import Report
from enginehouse.states import ENDED, AttemptState, BuildState
from enginehouse.views import ArtifactView, AttemptView, BuildView
from scheduler import artifacts, build_log, builds, jobs, models, retry, timeline
from scheduler.build_log import Window, sounds_like_trouble
from scheduler.retention import pins
from scheduler.waiting import Waiting

router = Router("page_build", pages=True)

_ROWS = 500
"""Layers that a page shows; there is a link for all of them."""


class LayersQuery(BaseModel):
    """In which order, and how many."""

    model_config = ConfigDict(extra="forbid")

    sort: Literal["order", "time", "name", "type", "precision"] = Field(default="order", description="by this column")
    every: bool = Field(default=False, description="all rows, however many they are")


class LogQuery(BaseModel):
    """Which lines."""

    model_config = ConfigDict(extra="forbid")

    attempt: int | None = Field(default=None, ge=1, le=2**31 - 1, description="of this attempt; else of the newest")
    line: int | None = Field(default=None, ge=1, le=2**31 - 1, description="around this line; else the last ones")
    text: str | None = Field(default=None, max_length=200, description="only lines that hold this")
    level: Literal["trouble"] | None = Field(default=None, description="only lines that sound like trouble")


class Back(BaseModel):
    """Where a small form was sent from."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(default="", max_length=200, description="why, for people")


@dataclass(frozen=True)
class Seen:
    """A build and what belongs to it, as one moment has them."""

    build: BuildView
    job_name: str
    model_name: str
    artifact: ArtifactView | None
    events: str

    @property
    def report(self) -> Report | None:
        """What is known about its artifact."""
        return self.artifact.report if self.artifact else None


@router.route("GET", "/builds/<build>", Scope.READ, "A build: its outcome and how it went", produces="text/html")
def show(call: Call, build: str) -> Response:
    """It is drawn again when something changes, until the build has ended."""
    return _overview(call, build)


@router.route("GET", "/builds/<build>/layers", Scope.READ, "A build's layers", produces="text/html")
def layers(call: Call, build: str, query: LayersQuery) -> Response:
    """What was executed, what stands for what, and what it cost."""
    with call.farm.read() as session:
        seen = _seen(session, call, build)
    report = seen.report
    rows = in_order(report.layers, query.sort) if report else []
    return _page(
        call,
        seen,
        "builds/layers.html",
        sort=query.sort,
        orders=ORDERS,
        layers=rows if query.every else rows[:_ROWS],
        left_out=0 if query.every else max(0, len(rows) - _ROWS),
        types=by_type(report.layers) if report else [],
        slowest=max((layer.time_us or 0.0 for layer in rows), default=0.0),
    )


@router.route("GET", "/builds/<build>/log", Scope.READ, "A build's log", produces="text/html")
def log(call: Call, build: str, query: LogQuery) -> Response:
    """A thousand lines: the last ones, those around one, or those that hold a word."""
    with call.farm.read() as session:
        seen = _seen(session, call, build)
        window = build_log.window(
            session,
            call.principal,
            build,
            attempt=query.attempt,
            line=query.line,
            text=query.text,
            trouble=query.level is not None,
        )
    return _page(
        call, seen, "builds/log.html", window=window, query=query, trouble=sounds_like_trouble, **_around(window)
    )


@router.route("GET", "/builds/<build>/log.txt", Scope.READ, "A build's log as a file", produces="text/plain")
def log_file(call: Call, build: str, query: LogQuery) -> Response:
    """Every line of one attempt, with its time."""
    with call.farm.read() as session:
        found = builds.get(session, call.principal, build)
        build_log.window(session, call.principal, build, attempt=query.attempt)  # NotFound comes before the first byte
    number = query.attempt or (found.attempts[-1].number if found.attempts else 0)

    def lines() -> Iterator[str]:
        with call.farm.read() as session:
            for line in build_log.whole(session, call.principal, build, query.attempt):
                yield f"{line.time.isoformat(timespec='milliseconds')} {line.text}\n"

    headers = {"Content-Disposition": f'attachment; filename="{build}-attempt-{number}.log"'}
    return Response(lines(), content_type="text/plain; charset=utf-8", headers=headers)


@router.route(
    "GET",
    "/builds/<build>/attempts/<int:attempt>/<name>",
    Scope.READ,
    "What a failed attempt left, as a file",
    produces="text/plain",
)
def attachment(call: Call, build: str, attempt: int, name: str) -> Response:
    """Such as reproduce.py."""
    with call.farm.read() as session:
        found = builds.attachment(session, call.principal, build, name, attempt)
    safe = "".join(char if char.isalnum() or char in "._-" else "_" for char in found.name)
    headers = {"Content-Disposition": f'attachment; filename="{safe}"'}
    return Response(found.text, content_type="text/plain; charset=utf-8", headers=headers)


@router.route("GET", "/builds/<build>/files", Scope.READ, "A build's files", produces="text/html")
def files(call: Call, build: str) -> Response:
    """With their hashes, and how to fetch them."""
    with call.farm.read() as session:
        seen = _seen(session, call, build)
    snippets = fetching(call.door.settings.public_url or request.url_root, seen.artifact) if seen.artifact else []
    return _page(call, seen, "builds/files.html", snippets=snippets)


@router.route("GET", "/builds/<build>/provenance", Scope.READ, "Where a build is from", produces="text/html")
def provenance(call: Call, build: str) -> Response:
    """What was asked for, what it was built from, where and with what, and who signed it."""
    with call.farm.read() as session:
        seen = _seen(session, call, build)
        said = artifacts.provenance(session, call.principal, seen.artifact.id) if seen.artifact else None
    return _page(call, seen, "builds/provenance.html", said=said)


@router.route(
    "POST",
    "/builds/<build>/cancel",
    Scope.SUBMIT,
    "Cancel a build",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
)
def cancel(call: Call, build: str) -> Response:
    """A running one is stopped by its worker."""
    builds.cancel(call.farm, call.principal, build)
    return see(f"/builds/{build}")


@router.route(
    "POST",
    "/builds/<build>/retry",
    Scope.SUBMIT,
    "Build again what failed",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
    counted=True,
)
def again(call: Call, build: str, form: Elsewhere) -> Response:
    """As a new job of one build."""
    try:
        made, _ = retry.retry_build(call.farm, call.principal, build, elsewhere=form.elsewhere, request=call.request_id)
    except EnginehouseError as error:
        return _overview(call, build, error)
    return see(f"/builds/{made.builds[0].id}")


@router.route(
    "POST",
    "/builds/<build>/pin",
    Scope.SUBMIT,
    "Keep a build's files",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
)
def pin(call: Call, build: str, form: Back) -> Response:
    """Whatever their age and the space they take."""
    try:
        pins.pin(call.farm, call.principal, _artifact_of(call, build), form.note)
    except EnginehouseError as error:
        return _overview(call, build, error)
    return see(f"/builds/{build}/files")


@router.route(
    "POST",
    "/builds/<build>/unpin",
    Scope.SUBMIT,
    "Keep a build's files no longer",
    produces="text/html",
    status=303,
    others=Scope.MAINTAIN,
)
def unpin(call: Call, build: str) -> Response:
    """Than others are kept."""
    pins.unpin(call.farm, call.principal, _artifact_of(call, build))
    return see(f"/builds/{build}/files")


def _artifact_of(call: Call, build: str) -> str:
    with call.farm.read() as session:
        found = builds.get(session, call.principal, build).artifact
    if found is None:
        raise NotFound(f"build {build} has no artifact", build=build)
    return found


def _overview(call: Call, build: str, error: EnginehouseError | None = None) -> Response:
    if isinstance(error, NotFound):
        raise error
    with call.farm.read() as session:
        seen = _seen(session, call, build)
        found, report = seen.build, seen.report
        pieces = timeline.of_job(session, found.job, [found])[found.id]
        if report is not None and found.origin == "built":
            pieces = timeline.with_phases(pieces, report.phases)
        failed = _last_failed(found)
        words = build_log.last_words(session, found.id, failed.number) if failed else []
    benchmark = report.benchmark if report else None
    return _page(
        call,
        seen,
        "builds/overview.html",
        status=error.status if error else 200,
        error=error,
        timeline=drawn_timeline(_lanes(found, pieces), datetime.now(UTC)),
        failed_attempt=failed,
        last_words=words,
        trouble=sounds_like_trouble,
        latency=distribution([("artifact", benchmark.artifact), ("source model", benchmark.baseline)])
        if benchmark
        else None,
        front=pareto(report.exploration.candidates) if report and report.exploration else None,
    )


def _seen(session: Session, call: Call, build: str) -> Seen:
    events = live(session)
    found = builds.get(session, call.principal, build, Waiting(session, call.farm.settings))
    artifact = artifacts.get(session, call.principal, found.artifact) if found.artifact else None
    return Seen(
        found,
        jobs.name_of(session, found.job),
        models.name_of(session, call.principal, found.model),
        artifact,
        events.replace("?", f"?job={found.job}&"),
    )


def _page(call: Call, seen: Seen, template: str, *, status: int = 200, **values: Any) -> Response:
    build, report = seen.build, seen.report
    base = f"/builds/{build.id}"
    tabs = [
        ("Overview", base, None),
        ("Log", f"{base}/log", None),
        ("Layers", f"{base}/layers", len(report.layers) if report else None),
        ("Files", f"{base}/files", len(seen.artifact.manifest.files) if seen.artifact else None),
        ("Provenance", f"{base}/provenance", None),
    ]
    return page(
        call,
        template,
        status=status,
        build=build,
        name=described(build.target),
        job_name=seen.job_name,
        model_name=seen.model_name,
        artifact=seen.artifact,
        report=report,
        ended=build.state in ENDED,
        events=seen.events,
        here=base,
        address=request.full_path.rstrip("?"),
        tabs=tabs,
        can_retry=build.state in (BuildState.FAILED, BuildState.CANCELLED) and build.replaced_by is None,
        **values,
    )


def _lanes(build: BuildView, pieces: Iterable[timeline.Piece]) -> list[tuple[str, str, str, list[timeline.Piece]]]:
    """A lane for each attempt; what came before the first belongs to it."""
    by_attempt: dict[int, list[timeline.Piece]] = {}
    for piece in pieces:
        by_attempt.setdefault(max(1, piece.attempt), []).append(piece)
    return [(str(number), f"attempt {number}", build.state.value, some) for number, some in by_attempt.items()]


def _last_failed(build: BuildView) -> AttemptView | None:
    if build.state is not BuildState.FAILED:
        return None
    bad = (AttemptState.FAILED, AttemptState.LOST)
    return next((one for one in reversed(build.attempts) if one.state in bad), None)


def _around(window: Window) -> dict[str, Any]:
    """Lines by which one pages through the log: the middle of what comes before and after."""
    step = build_log.WINDOW
    earlier = window.first > 1 and not window.narrowed
    later = bool(window.lines) and (window.more if window.narrowed else window.last < window.total)
    return {
        "earlier": max(1, window.first - step + build_log.BEFORE) if earlier else None,
        "later": (window.last + 1 if window.narrowed else window.last + build_log.BEFORE) if later else None,
    }
