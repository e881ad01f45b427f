"""Batches: many jobs as one."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Reply, Router
from api.v1.headers import SubmitHeaders
from api.v1.jobs import SUBMIT_ERRORS
from api.v1.paging import PageQuery
from enginehouse.batch import BatchRequest, BatchView, RebuildRequest
from enginehouse.views import Page
from scheduler import batches

router = Router("batches")

_AGAIN = {200: "The Idempotency-Key was seen before: the batch that it made"}


@router.route(
    "POST", "/v1/batches", Scope.SUBMIT, "Submit many jobs at once", status=201, also=_AGAIN, errors=SUBMIT_ERRORS,
    counted=True,
)  # fmt: skip
def submit(call: Call, body: BatchRequest, headers: SubmitHeaders) -> Reply[BatchView]:
    """All of them are accepted, or none; an error names the job by its number."""
    batch, created = batches.submit(call.farm, call.principal, body, headers.idempotency_key, call.request_id)
    return Reply(batch, 201 if created else 200, {"Location": f"/v1/batches/{batch.id}"})


@router.route(
    "POST", "/v1/batches/rebuild", Scope.SUBMIT, "Build artifacts again and promote what has not become worse",
    status=201, also=_AGAIN, errors=SUBMIT_ERRORS, counted=True,
)  # fmt: skip
def rebuild(call: Call, body: RebuildRequest, headers: SubmitHeaders) -> Reply[BatchView]:
    """An upgrade campaign: a job for each artifact, with gates from its own report."""
    batch, created = batches.rebuild(call.farm, call.principal, body, headers.idempotency_key, call.request_id)
    return Reply(batch, 201 if created else 200, {"Location": f"/v1/batches/{batch.id}"})


@router.route("GET", "/v1/batches", Scope.READ, "The project's batches, newest first")
def list_(call: Call, query: PageQuery) -> Page[BatchView]:
    """One page, without the jobs."""
    with call.farm.read() as session:
        return batches.list_(session, call.principal, query.limit, query.after)


@router.route("GET", "/v1/batches/<batch>", Scope.READ, "A batch with its jobs")
def show(call: Call, batch: str) -> BatchView:
    """By its id."""
    with call.farm.read() as session:
        return batches.get(session, call.principal, batch)


@router.route(
    "POST",
    "/v1/batches/<batch>/cancel",
    Scope.SUBMIT,
    "Cancel all of a batch's jobs that have not ended",
    others=Scope.MAINTAIN,
)
def cancel(call: Call, batch: str) -> BatchView:
    """Running builds are stopped by their workers."""
    return batches.cancel(call.farm, call.principal, batch)
