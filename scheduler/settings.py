"""Settings of the API and scheduler processes: environment variables ``ENGINEHOUSE_*``."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 1024**3


class Settings(BaseSettings):
    """What the API and the scheduler are told. Every field is the variable ``ENGINEHOUSE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="ENGINEHOUSE_", extra="ignore", env_ignore_empty=True)

    # --- where things are ------------------------------------------------------------------

    data_dir: Path = Field(
        default=Path(".farm"), description="folder of the SQLite file, the local store and scratch space by default"
    )
    database_url: str = Field(
        default="",
        repr=False,
        description="SQLAlchemy URL, for example postgresql+psycopg://user:password@host/name; "
        "empty: a SQLite file in the data folder",
    )
    broker_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        repr=False,
        description="Celery broker: redis://:password@host:port/db (rediss:// for TLS)",
    )
    scratch_dir: Path | None = Field(
        default=None,
        description="folder for short-lived files (a model while it is inspected); empty: 'scratch' in the data folder",
    )

    # --- the artifact store ------------------------------------------------------------------

    store: str = Field(
        default="",
        description="artifact store: file:///folder or s3://bucket/prefix; empty: a folder in the data folder",
    )
    s3_endpoint: str | None = Field(default=None, description="S3 server as the farm reaches it; empty: AWS")
    s3_public_endpoint: str | None = Field(
        default=None,
        description="S3 server as clients and workers reach it, in presigned addresses; empty: same as s3_endpoint",
    )
    s3_access_key: str | None = Field(
        default=None, description="S3 access key id; empty: boto3's own search (instance role, profile)"
    )
    s3_secret_key: SecretStr | None = Field(default=None, description="S3 secret access key")
    s3_region: str = Field(default="us-east-1", description="S3 region that requests are signed for")
    s3_path_style: bool = Field(
        default=True, description="address buckets as endpoint/bucket (self-hosted servers) instead of bucket.endpoint"
    )
    s3_create_bucket: bool = Field(default=False, description="create the bucket when it is missing")

    # --- who may do what ---------------------------------------------------------------------

    secret_key: SecretStr = Field(
        min_length=16, description="random text of 16 characters and more; signs the upload addresses of a local store"
    )
    signing_key: SecretStr | None = Field(
        default=None,
        description="ed25519 key that the API signs provenance with: 64 hexadecimal digits, or PEM; the same for every "
        "API process",
    )
    signing_key_file: Path | None = Field(
        default=None,
        description="file that holds the signing key instead; 'python -m scheduler.keys make FILE' writes one",
    )
    public_url: str | None = Field(
        default=None,
        description="the farm's address as others know it, which provenance names as the builder; empty: the key's id",
    )
    admin_token: SecretStr | None = Field(
        default=None, description="token with every client scope that exists from the first start on"
    )
    worker_token: SecretStr | None = Field(
        default=None, description="token with the 'work' scope that exists from the first start on"
    )
    open_loopback: bool = Field(
        default=False, description="a request from 127.0.0.1 or ::1 without a token acts as admin (embedded farm only)"
    )

    # --- limits ------------------------------------------------------------------------------

    max_upload_bytes: int = Field(default=64 * GIB, ge=1, description="largest model, dataset or artifact file, bytes")
    max_json_bytes: int = Field(default=4 * 1024**2, ge=1024, description="largest JSON body of a request, bytes")
    upload_expires_s: int = Field(
        default=86_400, ge=1, description="seconds after which an unfinished upload is swept and its addresses expire"
    )
    inspect_time_s: float = Field(
        default=60, gt=0, description="processor seconds that inspecting one model or dataset may take"
    )
    inspect_memory_mb: int = Field(
        default=8192, ge=256, description="address space of the process that inspects a model or dataset, MiB"
    )

    most_running: int | None = Field(
        default=None, ge=1, description="builds that a project may have under way, where it has no quota of its own"
    )
    most_waiting: int = Field(
        default=10_000, ge=1, description="builds that a project may have waiting, where it has no quota of its own"
    )
    farm_most_waiting: int = Field(
        default=1_000_000, ge=1, description="builds that all projects together may have waiting; more get a 429"
    )

    # --- how long things are kept ------------------------------------------------------------

    keep_days: int = Field(
        default=0, ge=0, description="days without use after which an artifact's files are removed; 0: kept for ever"
    )
    store_budget_bytes: int = Field(
        default=0,
        ge=0,
        description="bytes that all artifacts together may take; the least recently used lose their files first; "
        "0: no limit",
    )
    keep_failed_days: int = Field(
        default=30,
        ge=0,
        description="the same as keep_days, for artifacts that are only evidence of failed builds; 0: kept for ever",
    )
    keep_events_days: int = Field(
        default=90, ge=0, description="days that events of ended jobs and of the farm are kept; 0: for ever"
    )
    keep_logs_days: int = Field(
        default=90,
        ge=0,
        description="days after a build's end that its log, and what failed attempts left, is kept; 0: for ever",
    )
    gc_grace_s: int = Field(
        default=86_400,
        ge=3600,
        description="seconds that bytes are kept which nothing needs; an artifact that is new or was just used is left "
        "alone for as long",
    )

    # --- timing ------------------------------------------------------------------------------

    heartbeat_s: float = Field(default=5, gt=0, description="seconds between a worker's heartbeats")
    lease_s: float = Field(default=20, gt=0, description="seconds without a heartbeat after which a worker is lost")
    dispatch_expires_s: float = Field(
        default=10, gt=0, description="seconds after which a dispatch that nobody claimed is sent again"
    )
    max_attempts: int = Field(default=3, ge=1, description="attempts that a build may lose before it fails")
    tick_s: float = Field(default=1.0, gt=0, description="seconds between the scheduler's rounds when nothing wakes it")

    @field_validator("s3_endpoint", "s3_public_endpoint", "public_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fill(self) -> Self:
        data = self.data_dir.expanduser().absolute()
        if not self.database_url:
            self.database_url = f"sqlite:///{data / 'enginehouse.db'}"
        if not self.store:
            self.store = (data / "store").as_uri()
        if not self.store.startswith(("file:///", "s3://")):
            raise ValueError("store must be file:///folder or s3://bucket/prefix")
        if self.scratch_dir is None:
            self.scratch_dir = data / "scratch"
        if self.signing_key is not None and self.signing_key_file is not None:
            raise ValueError("give signing_key or signing_key_file, not both")
        if self.lease_s <= self.heartbeat_s:
            raise ValueError("lease_s must be longer than heartbeat_s")
        return self

    @property
    def scratch(self) -> Path:
        """The folder for short-lived files."""
        assert self.scratch_dir is not None
        return self.scratch_dir
