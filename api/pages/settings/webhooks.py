"""The project's webhooks: made, shown, changed, tried out; their deliveries, and those once more."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth import Scope
from api.pages import see
from api.pages.navigation import link
from api.pages.settings.drawing import drawn
from api.problems import invalid
from api.routing import Call, Router
from enginehouse.errors import EnginehouseError
from enginehouse.event_kinds import KINDS
from enginehouse.webhooks import (
    ENDINGS,
    DeliveryState,
    NewWebhook,
    Replay,
    WebhookChange,
    WebhookRequest,
)
from scheduler.webhooks import deliveries, registry

router = Router("page_settings_webhooks", pages=True)

_PAGE = 50
_HOME = "/settings/webhooks"
_SPANS = {"1": "hour", "24": "day", "168": "week", "720": "30 days"}
CHOICES = (
    *((kind, KINDS[kind]) for kind in (*ENDINGS, "build.failed", "build.succeeded", "build.quarantined")),
    *(
        (f"{family}.*", f"everything of {family}s" if family != "farm" else "maintenance of the farm")
        for family in dict.fromkeys(kind.partition(".")[0] for kind in KINDS)
    ),
    ("*", "everything"),
)


class ListQuery(BaseModel):
    """Which page of webhooks."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(default=None, max_length=100)


class LogQuery(BaseModel):
    """Which deliveries, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    state: DeliveryState | None = None
    after: str | None = Field(default=None, max_length=100)


class WebhookForm(BaseModel):
    """A webhook, or what it shall be."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(default="", max_length=3000)
    kinds: list[str] = Field(default_factory=list, max_length=100)
    description: str = Field(default="", max_length=1000)


class RotateForm(BaseModel):
    """For how long the old secret signs beside the new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: int = Field(default=86_400, ge=0, le=7 * 86_400)


class ReplayForm(BaseModel):
    """How far back, and whether what was delivered goes too."""

    model_config = ConfigDict(extra="forbid")

    hours: Literal["1", "24", "168", "720"] = "24"
    delivered: bool = False


@router.route("GET", "/settings/webhooks", Scope.ADMIN, "The project's webhooks", produces="text/html")
def show(call: Call, query: ListQuery) -> Response:
    """With a form to make one."""
    return _list(call, query)


@router.route("POST", "/settings/webhooks", Scope.ADMIN, "Make a webhook", produces="text/html")
def create(call: Call, form: WebhookForm) -> Response:
    """Its secret is on the page that answers, and nowhere else."""
    try:
        made = registry.create(call.farm, call.principal, _read(WebhookRequest, form.model_dump()))
    except EnginehouseError as error:
        return _list(call, ListQuery(), error=error, form=form)
    return _one(call, made.id, made=made)


@router.route("GET", "/settings/webhooks/<webhook>", Scope.ADMIN, "A webhook and its deliveries", produces="text/html")
def one(call: Call, webhook: str, query: LogQuery) -> Response:
    """It is drawn again by itself while something is on its way."""
    return _one(call, webhook, query)


@router.route("POST", "/settings/webhooks/<webhook>", Scope.ADMIN, "Change a webhook", produces="text/html", status=303)
def change(call: Call, webhook: str, form: WebhookForm) -> Response:
    """What is on its way goes to the new address."""
    try:
        registry.change(call.farm, call.principal, webhook, _read(WebhookChange, form.model_dump()))
    except EnginehouseError as error:
        return _one(call, webhook, error=error, form=form)
    return _back(webhook)


@router.route("POST", "/settings/webhooks/<webhook>/enable", Scope.ADMIN, "Enable", produces="text/html", status=303)
def enable(call: Call, webhook: str) -> Response:
    """It is told of what comes from now on."""
    registry.change(call.farm, call.principal, webhook, WebhookChange(enabled=True))
    return _back(webhook)


@router.route("POST", "/settings/webhooks/<webhook>/disable", Scope.ADMIN, "Disable", produces="text/html", status=303)
def disable(call: Call, webhook: str) -> Response:
    """What is on its way is dead."""
    registry.change(call.farm, call.principal, webhook, WebhookChange(enabled=False))
    return _back(webhook)


@router.route("POST", "/settings/webhooks/<webhook>/rotate", Scope.ADMIN, "A new secret", produces="text/html")
def rotate(call: Call, webhook: str, form: RotateForm) -> Response:
    """It is on the page that answers, and nowhere else."""
    return _one(call, webhook, made=registry.rotate(call.farm, call.principal, webhook, form.overlap_s))


@router.route("POST", "/settings/webhooks/<webhook>/test", Scope.ADMIN, "Send a test", produces="text/html", status=303)
def test(call: Call, webhook: str) -> Response:
    """On to its delivery."""
    try:
        sent = registry.test(call.farm, call.principal, webhook)
    except EnginehouseError as error:
        return _one(call, webhook, error=error)
    return see(f"{_HOME}/{webhook}/deliveries/{sent.id}")


@router.route("POST", "/settings/webhooks/<webhook>/delete", Scope.ADMIN, "Delete", produces="text/html", status=303)
def delete(call: Call, webhook: str) -> Response:
    """With its log."""
    registry.remove(call.farm, call.principal, webhook)
    return see(_HOME)


@router.route(
    "POST", "/settings/webhooks/<webhook>/replay", Scope.ADMIN, "Replay a stretch of time", produces="text/html"
)
def replay(call: Call, webhook: str, form: ReplayForm) -> Response:
    """Says how many deliveries that makes, and where there is more than one replay looks at."""
    since = datetime.now(UTC) - timedelta(hours=int(form.hours))
    try:
        done = deliveries.replay_range(
            call.farm, call.principal, webhook, Replay(since=since, delivered=form.delivered)
        )
    except EnginehouseError as error:
        return _one(call, webhook, error=error)
    return _one(call, webhook, replayed=done)


@router.route(
    "GET",
    "/settings/webhooks/<webhook>/deliveries/<delivery>",
    Scope.ADMIN,
    "A delivery: what is sent, and every answer",
    produces="text/html",
)
def delivery(call: Call, webhook: str, delivery: str) -> Response:
    """It is drawn again by itself while it is on its way."""
    return _delivery(call, webhook, delivery)


@router.route(
    "POST",
    "/settings/webhooks/<webhook>/deliveries/<delivery>/replay",
    Scope.ADMIN,
    "Send one once more",
    produces="text/html",
    status=303,
)
def replay_one(call: Call, webhook: str, delivery: str) -> Response:
    """Back to it."""
    try:
        deliveries.replay(call.farm, call.principal, delivery)
    except EnginehouseError as error:
        return _delivery(call, webhook, delivery, error)
    return see(f"{_HOME}/{webhook}/deliveries/{delivery}")


def _list(
    call: Call, query: ListQuery, error: EnginehouseError | None = None, form: WebhookForm | None = None
) -> Response:
    with call.farm.read() as session:
        found = registry.list_(session, call.principal, _PAGE, query.after)
    return drawn(
        call,
        "webhooks/list.html",
        error,
        webhooks=found.items,
        first=_HOME if query.after else None,
        following=link(_HOME, after=found.next) if found.next else None,
        form=form or WebhookForm(kinds=list(ENDINGS)),
        choices=CHOICES,
        networks=call.farm.settings.webhook_networks,
        plain=call.farm.settings.webhook_http,
    )


def _one(
    call: Call,
    webhook: str,
    query: LogQuery | None = None,
    *,
    error: EnginehouseError | None = None,
    form: WebhookForm | None = None,
    made: NewWebhook | None = None,
    replayed: Any = None,
) -> Response:
    query = query or LogQuery()
    here = f"{_HOME}/{webhook}"
    with call.farm.read() as session:
        hook = registry.get(session, call.principal, webhook)
        found = deliveries.list_(session, call.principal, webhook, query.state, _PAGE, query.after)
    chosen = form or WebhookForm(url=hook.url, kinds=hook.kinds, description=hook.description)
    known = {pattern for pattern, _ in CHOICES}
    own = [(kind, KINDS.get(kind, "")) for kind in chosen.kinds if kind not in known]
    looked_for = query.model_dump(mode="json", exclude_none=True, exclude={"after"})
    return drawn(
        call,
        "webhooks/show.html",
        error,
        hook=hook,
        found=found.items,
        query=query,
        here=link(here, looked_for, after=query.after),
        base=here,
        first=link(here, looked_for) if query.after else None,
        following=link(here, looked_for, after=found.next) if found.next else None,
        form=chosen,
        choices=[*CHOICES[:-1], *own, CHOICES[-1]],
        spans=_SPANS,
        secret=made.secret if made is not None else None,
        replayed=replayed,
    )


def _delivery(call: Call, webhook: str, delivery: str, error: EnginehouseError | None = None) -> Response:
    with call.farm.read() as session:
        hook = registry.get(session, call.principal, webhook)
        found = deliveries.get(session, call.farm.settings, call.principal, delivery)
    body = json.dumps(json.loads(found.body), indent=2, ensure_ascii=False)
    base = f"{_HOME}/{webhook}"
    return drawn(call, "webhooks/delivery.html", error, hook=hook, delivery=found, body=body, base=base)


def _read(model: type[Any], given: dict[str, Any]) -> Any:
    """What a form says, checked as the API does it."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error, "form") from None


def _back(webhook: str) -> Response:
    return see(f"{_HOME}/{webhook}")
