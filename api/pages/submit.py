"""Submit: a model is uploaded, targets are chosen from what the farm can really build, and a job is made.

The form is drawn here, and so is what would become of it (``/submit/plan``), each time that a field changes: the same
code reads the fields then and when the form is sent.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Scope
from api.pages import page, see
from api.pages.commands import as_command, as_curl, as_python
from api.pages.optionfields import fields_of
from api.pages.submission import Filled, SubmissionForm, again, blank, filled, options_of, request_of, shapes_of
from api.routing import Call, Router
from enginehouse.capability import Capability
from enginehouse.errors import Conflict, EnginehouseError, NotFound
from enginehouse.gates import Gates
from enginehouse.request import JobRequest, Limits, Sha256
from enginehouse.shapes import Profile
from enginehouse.signature import ModelSignature
from enginehouse.targets import AUTO, Precision
from enginehouse.versions import runtime_of
from enginehouse.views import DatasetView, ModelView, Reach, ReachView
from scheduler import datasets, estimate, jobs, models, offers, reach, retry
from scheduler.estimate import Expected
from scheduler.requirements import Given

router = Router("page_submit", pages=True)

_RECENT = 8
_DATASETS = 200
_PLACEHOLDER = "MODEL.onnx"


class SubmitQuery(BaseModel):
    """What is to be submitted."""

    model_config = ConfigDict(extra="forbid")

    model: Sha256 | None = Field(default=None, description="a model of the project; without it, one is uploaded first")
    job: str | None = Field(default=None, max_length=100, description="a job whose fields the form begins with")


class SendForm(SubmissionForm):
    """The form as it is sent."""

    key: str = Field(default="", max_length=64)


@dataclass(frozen=True)
class Row:
    """One backend of the matrix."""

    backend: str
    version: str
    cells: list[ReachView | None]


@dataclass(frozen=True)
class Choice:
    """A dataset, and why the model does not take it."""

    dataset: DatasetView
    unfit: str

    @property
    def name(self) -> str:
        """How a request names it."""
        return f"{self.dataset.name}@{self.dataset.version}"


@dataclass(frozen=True)
class Plan:
    """What would become of the form: builds, or what is wrong with it."""

    request: JobRequest | None = None
    expected: tuple[Expected, ...] = ()
    about_s: float | None = None
    error: EnginehouseError | None = None
    url: str = ""
    reach: tuple[ReachView, ...] = ()

    @property
    def command(self) -> str:
        """The same as a command; nothing where the form cannot be read."""
        return as_command(self.request) if self.request else ""

    @property
    def python(self) -> str:
        """The same as Python."""
        return as_python(self.request, self.url) if self.request else ""

    @property
    def curl(self) -> str:
        """The same as curl."""
        return as_curl(self.request, self.url) if self.request else ""

    @property
    def told(self) -> dict[str, dict[str, str]]:
        """The reach by target, for the script that keeps the matrix true."""
        return {one.target: {"reach": one.reach.value, "reason": one.reason} for one in self.reach}


@router.route("GET", "/submit", Scope.SUBMIT, "Submit a model", produces="text/html", errors=(NotFound,))
def show(call: Call, query: SubmitQuery) -> Response:
    """Without a model, the box to drop one into; with one, the form."""
    if query.job is not None:
        with call.farm.read() as session:
            asked = retry.request_of(session, call.principal, query.job)
        return _draw(call, asked.model, again(asked), None)
    if query.model is not None:
        with call.farm.read() as session:
            name = models.get(session, call.principal, query.model).name
        return _draw(call, query.model, blank(name), None)
    with call.farm.read() as session:
        recent = models.list_(session, call.principal, _RECENT).items
        offered = offers.by_backend(session)
    example = f"enginehouse submit {_PLACEHOLDER} -t auto"
    return page(call, "submit/start.html", recent=recent, offered=offered, example=example, url=_url(call))


@router.route("POST", "/submit/plan", Scope.SUBMIT, "What would become of the form", produces="text/html")
def plan(call: Call, form: SubmissionForm) -> Response:
    """A part of the page; nothing is written."""
    with call.farm.read() as session:
        found = _plan(call, session, form)
    return page(call, "submit/plan.html", plan=found, limits=Limits())


@router.route(
    "POST", "/submit", Scope.SUBMIT, "Send the form", produces="text/html", errors=(NotFound, Conflict), counted=True
)
def send(call: Call, form: SendForm) -> Response:
    """On to the job; or the form again, with what is wrong. Sent twice from one page, it makes one job."""
    try:
        with call.farm.read() as session:
            schemas = {name: one.options_schema for name, one in offers.by_backend(session).items()}
        asked = request_of(form, schemas)
        job, _ = jobs.submit(call.farm, call.principal, asked, _key(form, asked), call.request_id)
    except NotFound:
        raise
    except EnginehouseError as error:
        return _draw(call, form.model, filled(form), error, form)
    return see(f"/jobs/{job.id}")


def _key(form: SendForm, asked: JobRequest) -> str | None:
    """Equal for one page and one request."""
    if not form.key:
        return None
    return "page-" + hashlib.sha256(f"{form.key}\n{asked.model_dump_json()}".encode()).hexdigest()[:40]


def _draw(
    call: Call, model: str, values: Filled, error: EnginehouseError | None, form: SubmissionForm | None = None
) -> Response:
    with call.farm.read() as session:
        found = models.get(session, call.principal, model)
        offered = offers.by_backend(session)
        choices = _choices(call, session, found)
        planned = _plan(call, session, form or _form(model, values))
    options = {name: fields_of(one.options_schema) for name, one in offered.items()}
    return page(
        call,
        "submit/form.html",
        status=error.status if error is not None else 200,
        model=found,
        values=values,
        error=error,
        matrix=_matrix(planned.reach, offered),
        precisions=_precisions(planned.reach),
        auto=next((one for one in planned.reach if one.target == AUTO), None),
        offered=offered,
        options={name: fields for name, fields in options.items() if fields},
        choices=choices,
        dynamic=[spec for spec in found.signature.inputs if spec.is_dynamic()],
        gates={name: field.description or "" for name, field in Gates.model_fields.items()},
        baselines=[one.target for one in planned.reach if one.target != AUTO and one.reach is not Reach.NO],
        plan=planned,
        limits=Limits(),
        key=secrets.token_hex(16),
    )


def _form(model: str, values: Filled) -> SubmissionForm:
    return SubmissionForm(
        model=model,
        target=sorted(values.targets),
        baseline=sorted(values.baselines),
        ladder=values.ladder,
        verify=values.verify,
        benchmark=values.benchmark,
        **dict(values.fields),
    )


def _plan(call: Call, session: Session, form: SubmissionForm) -> Plan:
    offered = offers.by_backend(session)
    schemas = {name: one.options_schema for name, one in offered.items()}
    signature = models.get(session, call.principal, form.model).signature
    options: dict[str, dict[str, Any]] = {}
    try:
        options = options_of(form, schemas)
        given = _given(call, session, form, signature)
    except EnginehouseError:
        given = Given(signature)  # what is wrong is told below, once
    found = tuple(reach.of_model(session, call.principal, form.model, given, options))
    if not form.target:
        return Plan(reach=found)
    asked, url = None, _url(call)
    try:
        asked = request_of(form, schemas)
        expected = estimate.of(session, call.door.settings, call.principal, asked)
    except EnginehouseError as error:
        return Plan(asked, error=error, reach=found, url=url)
    return Plan(asked, tuple(expected), estimate.seconds(expected), url=url, reach=found)


def _given(call: Call, session: Session, form: SubmissionForm, signature: ModelSignature) -> Given:
    """What the form brings along for its targets, as far as it can be read."""
    shapes = shapes_of(form)
    dataset = datasets.get(session, call.principal, form.dataset) if form.dataset else None
    asked = JobRequest.model_validate({"model": form.model, "targets": [AUTO], **shapes})
    profiles: list[Profile] = asked.profiles
    return Given(signature, dataset.samples if dataset else None, asked.shapes, profiles)


def _choices(call: Call, session: Session, model: ModelView) -> list[Choice]:
    """The project's datasets, those that fit the model first."""
    found = []
    for dataset in datasets.list_(session, call.principal, _DATASETS).items:
        unfit = ""
        try:
            datasets.check_fits(dataset.inputs, model.signature, dataset.name)
        except EnginehouseError as error:
            unfit = error.detail
        found.append(Choice(dataset, unfit))
    return sorted(found, key=lambda choice: bool(choice.unfit))


def _precisions(found: tuple[ReachView, ...]) -> list[str]:
    offered = {one.target.partition(":")[2] for one in found}
    return [one.value for one in Precision if one.value in offered]


def _matrix(found: tuple[ReachView, ...], offered: dict[str, Capability]) -> list[Row]:
    cells = {one.target: one for one in found}
    precisions = _precisions(found)
    rows = []
    for backend in (name for name in offered if name != AUTO):
        runtime = runtime_of(backend, offered[backend].toolchain)
        version = runtime[1] if runtime else ""
        rows.append(Row(backend, version, [cells.get(f"{backend}:{precision}") for precision in precisions]))
    return rows


def _url(call: Call) -> str:
    """The farm's address as the browser has it."""
    return (call.door.settings.public_url or request.host_url).rstrip("/")
