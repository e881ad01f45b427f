"""The tables. Rows are written by the service of the same noun; states only by ``scheduler.transitions``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times on every database; SQLite would give naive ones back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Give UTC back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Id = String(40)
Sha = String(64)
Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the key's type is INTEGER."""


class Base(DeclarativeBase):
    """Root of the tables. Constraint names are fixed, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way of declaring it
        datetime: UtcDateTime,
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
    }


class Project(Base):
    """The tenant. A quota that is None is the farm's own.

    ``weight``: its share of the farm beside others'. ``start`` and ``finish``: see ``scheduler.fairness``.
    """

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    weight: Mapped[float] = mapped_column(Double, default=1.0)
    most_running: Mapped[int | None]
    most_waiting: Mapped[int | None]
    most_bytes: Mapped[int | None] = mapped_column(BigInteger)
    start: Mapped[float] = mapped_column(Double, default=0.0)
    finish: Mapped[float] = mapped_column(Double, default=0.0)
    created: Mapped[datetime]


class Token(Base):
    """A key to the API, kept as its SHA-256. It is the project's, or a member's own, and then never allows more than
    the member's role does.
    """

    __tablename__ = "tokens"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    person_id: Mapped[str | None] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(Sha, unique=True)
    scopes: Mapped[list[Any]]
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    last_used: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class Person(Base):
    """Somebody who signs in: with a password of their own, or through an identity provider.

    One with neither was invited: the first sign-in with this address through the provider takes it.
    """

    __tablename__ = "persons"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    login: Mapped[str] = mapped_column(String(200), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    password: Mapped[str | None] = mapped_column(String(200))
    """An argon2id hash."""
    issuer: Mapped[str | None] = mapped_column(String(300))
    subject: Mapped[str | None] = mapped_column(String(255))
    operator: Mapped[bool]
    created: Mapped[datetime]
    disabled: Mapped[datetime | None]
    last_seen: Mapped[datetime | None]


class Member(Base):
    """A person in a project."""

    __tablename__ = "members"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]


class SignIn(Base):
    """A session: a browser in which a person is signed in. What the browser holds is kept as its SHA-256."""

    __tablename__ = "sessions"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("persons.id"), index=True)
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"))
    sha256: Mapped[str] = mapped_column(Sha, unique=True)
    peer: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(200))
    created: Mapped[datetime]
    seen: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)


class AuditRow(Base):
    """Somebody asked for a change. Rows are added, and removed when they are older than they are kept; never changed.

    ``outcome`` is empty where it was done, else an error's code.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index(None, "project_id", "who", "id"),
        Index(None, "project_id", "action", "id"),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    time: Mapped[datetime] = mapped_column(index=True)
    project_id: Mapped[str | None] = mapped_column(Id)
    who: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(10))
    who_id: Mapped[str | None] = mapped_column(Id)
    action: Mapped[str] = mapped_column(String(100))
    target: Mapped[str] = mapped_column(String(300))
    outcome: Mapped[str] = mapped_column(String(100))
    peer: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(100))


class Blob(Base):
    """Bytes in the artifact store. The key is the farm's own and never given out."""

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(Sha, primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    created: Mapped[datetime]
    unused_since: Mapped[datetime | None] = mapped_column(index=True)
    """When collection first found that nothing needs it; None: it is needed, or was asked for since."""


class BlobUse(Base):
    """A model or an artifact consists of these bytes. ``owner`` is its serial; ``kind`` is 'model' or 'artifact'.

    The key to ``blobs`` makes the database itself refuse that bytes go which something consists of.
    """

    __tablename__ = "blob_uses"
    owner: Mapped[str] = mapped_column(Id, primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), primary_key=True, index=True)
    kind: Mapped[str] = mapped_column(String(8))


class Holding(Base):
    """A project has sent these bytes itself, so it may be told that they are here."""

    __tablename__ = "holdings"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), primary_key=True, index=True)
    created: Mapped[datetime]


class Upload(Base):
    """Bytes on their way. ``owner`` is 'project:ID', or 'attempt:BUILD:FENCE' for what workers publish.

    One of an attempt that was complete when it was opened is a promise: the worker was told that the farm has them.
    """

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "owner", "sha256"),)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    owner: Mapped[str] = mapped_column(String(120))
    sha256: Mapped[str] = mapped_column(Sha)
    size: Mapped[int] = mapped_column(BigInteger)
    part_size: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str] = mapped_column(String(200))
    handle: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)


class Model(Base):
    """A source model, as one project sees it."""

    __tablename__ = "models"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    id: Mapped[str] = mapped_column(Sha, primary_key=True)
    serial: Mapped[str] = mapped_column(Id, unique=True)
    name: Mapped[str] = mapped_column(String(200))
    size: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[list[Any]]
    signature: Mapped[dict[str, Any]]
    shared: Mapped[bool] = mapped_column(default=False)
    """Whether every project that has the same bytes may be answered with what was built of it."""
    submitted_by: Mapped[str | None] = mapped_column(Id)
    """Id of a person or a token; see ``scheduler.ownership``."""
    created: Mapped[datetime]


class Dataset(Base):
    """One version of a named dataset."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("project_id", "name", "version"), Index(None, "project_id", "sha256"))
    serial: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(100))
    version: Mapped[int]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    samples: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    inputs: Mapped[list[Any]]
    statistics: Mapped[dict[str, Any]]
    submitted_by: Mapped[str | None] = mapped_column(Id)
    """Id of a person or a token; see ``scheduler.ownership``."""
    created: Mapped[datetime]


class Batch(Base):
    """Jobs that were asked for at once."""

    __tablename__ = "batches"
    __table_args__ = (UniqueConstraint("project_id", "idempotency_key"), Index(None, "project_id", "id"))
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(200))
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    request_digest: Mapped[str] = mapped_column(Sha)
    created: Mapped[datetime]


class DeletedDataset(Base):
    """A dataset version that was deleted. Its number is not given again: jobs that used it still name it."""

    __tablename__ = "deleted_datasets"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(Sha)
    deleted: Mapped[datetime]


class Job(Base):
    """One submission."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("project_id", "idempotency_key"),
        Index(None, "project_id", "id"),
        Index(None, "project_id", "state", "id"),
        Index(None, "project_id", "dataset_id", "id"),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    batch_id: Mapped[str | None] = mapped_column(Id, index=True)
    name: Mapped[str] = mapped_column(String(200))
    model_id: Mapped[str] = mapped_column(Sha, index=True)
    dataset_id: Mapped[str | None] = mapped_column(Sha)
    dataset_name: Mapped[str | None] = mapped_column(String(120))
    state: Mapped[str] = mapped_column(String(16))
    priority: Mapped[str] = mapped_column(String(8))
    gates: Mapped[dict[str, Any]]
    ladder: Mapped[bool]
    limits: Mapped[dict[str, Any]]
    request_id: Mapped[str] = mapped_column(String(100))
    submitted_by: Mapped[str | None] = mapped_column(Id)
    """Id of a person or a token; see ``scheduler.ownership``."""
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    request_digest: Mapped[str] = mapped_column(Sha)
    created: Mapped[datetime]
    ended: Mapped[datetime | None]


IN_LINE = "state = 'waiting' AND joined_to IS NULL"
"""Builds that the dispatcher looks at. A query with both conditions uses the index of that name."""

BUILT = "origin = 'built'"
"""Builds whose duration says something."""


OVER = "ended IS NOT NULL"
"""Builds and attempts that statistics are made of."""

HAS_RESULT = "artifact_id IS NOT NULL"
"""Builds through which a project sees artifacts."""


class Build(Base):
    """One (model, target) of a job.

    ``request_key`` names what is asked for, before a pool is known; ``cache_key`` what is built, once it is.
    ``fence`` grows with every claim. ``tries`` counts the attempts that were spent. ``gates`` are those of its target.
    A further rung of a ladder names the build that the ladder began with in ``ladder_of``; there is one of each number.
    """

    __tablename__ = "builds"
    __table_args__ = (
        Index(
            "ix_builds_line",
            "project_id",
            "demand",
            "due",
            "id",
            postgresql_where=text(IN_LINE),
            sqlite_where=text(IN_LINE),
        ),
        Index("ix_builds_history", "demand", "id", postgresql_where=text(BUILT), sqlite_where=text(BUILT)),
        Index(
            "ix_builds_ended",
            "ended",
            "project_id",
            "state",
            "origin",
            postgresql_where=text(OVER),
            sqlite_where=text(OVER),
        ),
        Index(None, "state", "id"),
        Index(None, "request_key", "state"),
        Index(None, "ladder_of", "rung", unique=True),
        Index(
            "ix_builds_results",
            "project_id",
            "artifact_id",
            postgresql_where=text(HAS_RESULT),
            sqlite_where=text(HAS_RESULT),
        ),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    position: Mapped[int]
    ladder_of: Mapped[str | None] = mapped_column(Id)
    rung: Mapped[int]
    model_id: Mapped[str] = mapped_column(Sha)
    recipe: Mapped[dict[str, Any]]
    gates: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    phase: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    origin: Mapped[str | None] = mapped_column(String(16))
    demand: Mapped[str] = mapped_column(Text)
    """What it is to placement; see ``scheduler.line``."""
    due: Mapped[datetime]
    """Its place in the line of its project."""
    request_key: Mapped[str] = mapped_column(Sha)
    cache_key: Mapped[str | None] = mapped_column(Sha)
    joined_to: Mapped[str | None] = mapped_column(ForeignKey("builds.id"), index=True)
    artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id"), index=True)
    failure: Mapped[dict[str, Any] | None]
    pool: Mapped[str | None] = mapped_column(ForeignKey("pools.name"))
    avoid: Mapped[list[Any]] = mapped_column(default=list)
    """Ids of workers that shall not take it while others can."""
    attempt: Mapped[int]
    tries: Mapped[int]
    fence: Mapped[int]
    not_before: Mapped[datetime]
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]


class Demand(Base):
    """What builds are to placement, and what those in line were told last of why they wait."""

    __tablename__ = "demands"
    demand: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[str] = mapped_column(Text)


class Attempt(Base):
    """One execution of a build by one worker, under a lease with a fencing number."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index(None, "state", "pool"),
        Index(
            "ix_attempts_ended", "ended", "worker_id", "started", postgresql_where=text(OVER), sqlite_where=text(OVER)
        ),
    )
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    pool: Mapped[str] = mapped_column(ForeignKey("pools.name"))
    worker_id: Mapped[str | None] = mapped_column(ForeignKey("workers.id"), index=True)
    meant_for: Mapped[str | None] = mapped_column(Id)
    """The worker to whose own queue it was sent; None: to the pool's."""
    charged_s: Mapped[float] = mapped_column(Double, default=0.0)
    """Slot-seconds that its project was charged with beforehand."""
    boot_id: Mapped[str | None] = mapped_column(String(64))
    fence: Mapped[int | None]
    until: Mapped[datetime]
    """When an unclaimed dispatch expires; once claimed, when the lease ends."""
    created: Mapped[datetime]
    started: Mapped[datetime | None]
    ended: Mapped[datetime | None]
    failure: Mapped[dict[str, Any] | None]
    attachments: Mapped[dict[str, Any]]
    """File name to text: what a failed attempt left for whoever looks into it."""


class LogRow(Base):
    """One captured line of an attempt."""

    __tablename__ = "log_lines"
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class Artifact(Base):
    """A bundle, named by its manifest's SHA-256. A project sees it through a build of its own."""

    __tablename__ = "artifacts"
    id: Mapped[str] = mapped_column(Sha, primary_key=True)
    serial: Mapped[str] = mapped_column(Id, unique=True)
    cache_key: Mapped[str] = mapped_column(Sha, index=True)
    build_id: Mapped[str] = mapped_column(Id)
    model_id: Mapped[str] = mapped_column(Sha, index=True)
    agrees: Mapped[bool]
    manifest: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any]]
    envelope: Mapped[str | None] = mapped_column(Text)
    """The signed provenance as it is downloaded; None for what was built before the farm signed."""
    last_used: Mapped[datetime | None] = mapped_column(index=True)
    """When it last answered a build, was downloaded or resolved, to within an hour."""
    evicted: Mapped[datetime | None]
    """When its files were given up. What was proven and measured of it stays, and what it was built from."""
    created: Mapped[datetime]


class Pin(Base):
    """A project wants to keep an artifact, whatever its age and the space it takes."""

    __tablename__ = "pins"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"), primary_key=True, index=True)
    note: Mapped[str] = mapped_column(String(200))
    set_by: Mapped[str | None] = mapped_column(Id)
    """Id of a person or a token; see ``scheduler.ownership``."""
    created: Mapped[datetime]


class SigningKey(Base):
    """The public half of a key that the farm signs, or has signed, with. The private half is in no database."""

    __tablename__ = "signing_keys"
    id: Mapped[str] = mapped_column(Sha, primary_key=True)
    pem: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime]
    withdrawn: Mapped[datetime | None]


class ToolchainCache(Base):
    """What a toolchain may keep from one build to the next (a timing cache), for one kind of machine."""

    __tablename__ = "toolchain_caches"
    key: Mapped[str] = mapped_column(Sha, primary_key=True)
    label: Mapped[str] = mapped_column(String(300))
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    version: Mapped[int]
    updated: Mapped[datetime]


class Pool(Base):
    """All workers with the same hardware class, tags, facts, toolchain versions and pipeline: one Celery queue.

    ``facts``: what constraints ask about, by name. ``mode``: 'open' or 'paused'.
    """

    __tablename__ = "pools"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    mode: Mapped[str] = mapped_column(String(16), default="open")
    mode_reason: Mapped[str] = mapped_column(String(200), default="")
    hardware_class: Mapped[str] = mapped_column(String(200))
    tags: Mapped[list[Any]]
    capabilities: Mapped[list[Any]]
    pipeline: Mapped[str] = mapped_column(String(32))
    created: Mapped[datetime]


class Worker(Base):
    """A process on a node, as it announced itself.

    ``mode``: a WorkerMode; it survives the worker's restart.
    ``files``: SHA-256 of what lies in its local cache.
    """

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    boot_id: Mapped[str] = mapped_column(String(64))
    pool: Mapped[str] = mapped_column(ForeignKey("pools.name"))
    state: Mapped[str] = mapped_column(String(16), index=True)
    slots: Mapped[int]
    mode: Mapped[str] = mapped_column(String(16), default="open")
    mode_reason: Mapped[str] = mapped_column(String(200), default="")
    files: Mapped[list[Any]] = mapped_column(default=list)
    hardware: Mapped[dict[str, Any]]
    signed_on: Mapped[datetime]
    last_seen: Mapped[datetime]


class Quarantine(Base):
    """What was asked for and ended its attempts, every one by the farm's fault: not tried again until released."""

    __tablename__ = "quarantines"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    request_key: Mapped[str] = mapped_column(Sha, primary_key=True)
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id"), index=True)
    created: Mapped[datetime]


class Switch(Base):
    """A thing that an operator has turned on for the whole farm, such as 'maintenance'."""

    __tablename__ = "switches"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    reason: Mapped[str] = mapped_column(String(200))
    by: Mapped[str] = mapped_column(String(100))
    created: Mapped[datetime]


class EventRow(Base):
    """A change, numbered in the order of commits."""

    __tablename__ = "events"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - a cursor's number is never given twice
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    time: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(40))
    project_id: Mapped[str | None] = mapped_column(Id)
    job_id: Mapped[str | None] = mapped_column(Id, index=True)
    build_id: Mapped[str | None] = mapped_column(Id)
    data: Mapped[dict[str, Any]]


UNDELIVERED = "state = 'pending'"
"""Deliveries that are on their way. A query with this condition uses the index of that name."""


class Webhook(Base):
    """An address that is told of a project's events.

    ``secret`` is sealed (``scheduler.webhooks.sealing``), and so is ``old_secret``, which signs beside it until
    ``old_until``. ``since``: it is told of events after this one. ``held_by``: the process that delivers to it.
    ``failures`` in a row, the first at ``failing_since``; nothing is sent before ``not_before``.
    """

    __tablename__ = "webhooks"
    __table_args__ = (Index(None, "project_id", "id"),)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    url: Mapped[str] = mapped_column(Text)
    kinds: Mapped[list[Any]]
    description: Mapped[str] = mapped_column(String(200))
    secret: Mapped[str] = mapped_column(Text)
    old_secret: Mapped[str | None] = mapped_column(Text)
    old_until: Mapped[datetime | None]
    since: Mapped[int] = mapped_column(BigInteger)
    enabled: Mapped[bool] = mapped_column(default=True)
    disabled: Mapped[datetime | None]
    disabled_reason: Mapped[str] = mapped_column(Text, default="")
    failures: Mapped[int] = mapped_column(default=0)
    failing_since: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    probing: Mapped[bool] = mapped_column(default=False)
    """The first of its line failed repeatedly: whether another one is accepted is found out next."""
    last_delivered: Mapped[datetime | None]
    held_by: Mapped[str | None] = mapped_column(Id)
    held_until: Mapped[datetime | None]
    served: Mapped[datetime | None]
    created: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(100))
    deleted: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One event on its way to one webhook; there is one of each. ``state``: a DeliveryState.

    ``place``: in the webhook's line, beside the event's id. ``attempts`` were made in all, ``tries`` since it was
    last put into the line. The key to ``events`` keeps an event for as long as its delivery is on record.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index(None, "event_id", "webhook_id", unique=True),
        Index(None, "webhook_id", "id"),
        Index(None, "webhook_id", "state", "id"),
        Index(None, "project_id", "id"),
        Index(None, "project_id", "state", "id"),
        Index(
            "ix_webhook_deliveries_line",
            "webhook_id",
            "aside",
            "place",
            "event_id",
            postgresql_where=text(UNDELIVERED),
            sqlite_where=text(UNDELIVERED),
        ),
    )
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"))
    project_id: Mapped[str] = mapped_column(Id)
    event_id: Mapped[int] = mapped_column(Serial, ForeignKey("events.id"))
    kind: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16))
    aside: Mapped[bool] = mapped_column(default=False)
    place: Mapped[int] = mapped_column(BigInteger)
    due: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    tries: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[datetime]
    ended: Mapped[datetime | None] = mapped_column(index=True)


class WebhookAttempt(Base):
    """One request to a webhook's receiver, and the beginning of what it answered."""

    __tablename__ = "webhook_attempts"
    delivery_id: Mapped[str] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    started: Mapped[datetime]
    ms: Mapped[float] = mapped_column(Double)
    outcome: Mapped[str] = mapped_column(String(16))
    status: Mapped[int | None]
    error: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(String(64))
    response: Mapped[str] = mapped_column(Text)


class Cursor(Base):
    """How far a reader of events that is a part of the farm has come. ``name``: 'webhooks'."""

    __tablename__ = "cursors"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class OutboxRow(Base):
    """A message that is owed to the broker. Written with the change that owes it, deleted once it is sent."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    queue: Mapped[str] = mapped_column(String(120))
    task: Mapped[str] = mapped_column(String(100))
    body: Mapped[dict[str, Any]]
    created: Mapped[datetime]
