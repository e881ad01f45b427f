"""Webhooks: what is asked of the farm about them, and what it shows. Times are UTC; ids of events are cursors."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from enginehouse.errors import RequestError
from enginehouse.event_kinds import checked

ENDINGS = ["job.succeeded", "job.failed", "job.cancelled"]
"""What a webhook is told of where it does not say: the ends of jobs."""

_LONGEST = 2000
_URL = TypeAdapter(AnyHttpUrl)


def plain_address(given: str) -> str:
    """An address in its one canonical form (punycode, percent signs, dotted addresses). Raises ValueError.

    Checking and connecting read the same form, so that no spelling means two hosts.
    """
    try:
        found = _URL.validate_python(given)
    except ValidationError:
        raise ValueError("is no http:// or https:// address") from None
    if found.username or found.password:
        raise ValueError("holds a user name or password, which lists would show; put a token into the path instead")
    if found.fragment is not None:
        raise ValueError("has a fragment ('#…'), which is never sent")
    if len(str(found)) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    return str(found)


def _known(patterns: list[str]) -> list[str]:
    try:
        return checked(patterns)
    except RequestError as error:
        raise ValueError(f"{error.detail}. {error.hint}") from error


Address = Annotated[
    str,
    Field(min_length=1, max_length=_LONGEST, description="where events are sent: an https:// address"),
    AfterValidator(plain_address),
]
Kinds = Annotated[
    list[str],
    Field(min_length=1, max_length=50, description="kinds of events: 'job.succeeded', 'build.*' or '*'"),
    AfterValidator(_known),
]
Description = Annotated[str, Field(max_length=200, description="for people")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WebhookRequest(_Body):
    """A webhook to make."""

    url: Address
    kinds: Kinds = Field(default_factory=lambda: list(ENDINGS))
    description: Description = ""


class WebhookChange(_Body):
    """What to change of a webhook; a field that is not given stays."""

    url: Address | None = None
    kinds: Kinds | None = None
    description: Description | None = None
    enabled: bool | None = Field(
        default=None, description="false: it is told of nothing, and what it was not told is dead; true: from now on"
    )


class Rotate(_Body):
    """A new secret."""

    overlap_s: int = Field(
        default=86_400, ge=0, le=7 * 86_400, description="seconds for which the old secret signs beside the new one"
    )


class Replay(_Body):
    """Events of a stretch of time, once more."""

    since: datetime = Field(description="events from this moment on")
    until: datetime | None = Field(default=None, description="and up to this one; without it, up to now")
    delivered: bool = Field(default=False, description="also those that were delivered")


class Replayed(BaseModel):
    """What a replay did."""

    deliveries: int = Field(description="deliveries that are on their way (again)")
    until: datetime = Field(description="how far it came")
    whole: bool = Field(description="false: there is more; ask again with 'since' set to 'until'")


class DeliveryState(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """given up; a replay makes it pending again"""


class Outcome(StrEnum):
    """How one request to a receiver ended. Only 'accepted' delivers."""

    ACCEPTED = "accepted"
    """a status of 200 to 299"""
    REFUSED = "refused"
    """any other status"""
    REDIRECTED = "redirected"
    """a redirect, which is not followed"""
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    """no such name, no connection, or one that broke"""
    NOT_ALLOWED = "not_allowed"
    """an address that the farm's settings do not let it reach"""
    TLS_FAILED = "tls_failed"
    """no TLS, or a certificate that is not to be trusted"""
    NOT_HTTP = "not_http"
    """an answer that is not HTTP"""
    SECRET_LOST = "secret_lost"  # noqa: S105 - a word, no secret
    """the secret cannot be read, since ENGINEHOUSE_SECRET_KEY is another one"""


class WebhookView(BaseModel):
    """A webhook without its secret."""

    id: str
    url: str
    kinds: list[str]
    description: str
    enabled: bool
    disabled: datetime | None = Field(description="since when it is told of nothing")
    disabled_reason: str = Field(description="why, in words")
    failing_since: datetime | None = Field(description="the first of the failures that nothing was delivered since")
    next_try: datetime | None = Field(description="when it is tried again, after failures")
    last_delivered: datetime | None
    old_secret_until: datetime | None = Field(description="until when the secret before this one signs as well")
    pending: int = Field(description="deliveries on their way")
    dead: int = Field(description="deliveries that were given up")
    created: datetime
    created_by: str


class NewWebhook(WebhookView):
    """A webhook with its secret, which is shown this once."""

    secret: str = Field(description="whsec_…: give it to the receiver's Standard Webhooks library")


class AttemptView(BaseModel):
    """One request to a receiver."""

    number: int
    started: datetime
    ms: float = Field(description="until the answer was read, or it was clear that there is none")
    outcome: Outcome
    status: int | None = Field(description="HTTP status of the answer")
    error: str = Field(description="what went wrong, in words")
    address: str = Field(description="the IP address that was connected to")
    response: str = Field(description="the beginning of the answer's body")


class DeliveryView(BaseModel):
    """One event on its way to one webhook."""

    id: str
    webhook: str
    event: int = Field(description="cursor of the event")
    message: str = Field(description="the header webhook-id and the CloudEvent's id: the same for every try and replay")
    kind: str
    job: str | None
    build: str | None
    state: DeliveryState
    aside: bool = Field(description="whether it was put aside, since others are accepted and this one was not")
    note: str = Field(description="why it is dead, in words")
    attempts: int = Field(description="requests that were made")
    due: datetime = Field(description="where it is pending: not before")
    last: AttemptView | None
    created: datetime
    ended: datetime | None


class DeliveryDetail(DeliveryView):
    """A delivery with what is sent and every answer."""

    body: str = Field(description="the request's body: the CloudEvent as it is sent")
    tries: list[AttemptView] = Field(description="newest first, at most a hundred")


def dumped(change: WebhookChange) -> dict[str, Any]:
    """What is given of a change."""
    return {name: value for name, value in change.model_dump(exclude_unset=True).items() if value is not None}
