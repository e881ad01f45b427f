"""Settings of the API and scheduler processes: environment variables ``ENGINEHOUSE_*``."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

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
        min_length=16,
        description="random text of 16 characters and more; signs the upload addresses of a local store, and "
        "what browsers hold of sessions",
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

    # --- persons -----------------------------------------------------------------------------

    admin_password: SecretStr | None = Field(
        default=None,
        min_length=12,
        description="password of the person 'admin', an operator, who is made at the first start; later starts do not "
        "change it",
    )
    session_s: int = Field(
        default=604_800, ge=300, description="seconds after which whoever signed in must do so again, in any case"
    )
    session_idle_s: int = Field(
        default=43_200, ge=300, description="seconds without a request after which whoever signed in must do so again"
    )
    oidc_issuer: str | None = Field(
        default=None,
        description="OpenID Connect provider that persons may sign in through, as it names itself; needs public_url, "
        "and the provider the redirect address PUBLIC_URL/sign-in/provider/back",
    )
    oidc_client_id: str | None = Field(default=None, description="what the provider calls this farm")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="the farm's secret with the provider; empty: a public client, PKCE alone"
    )
    oidc_name: str = Field(default="your organisation", description="what the sign-in page calls the provider")
    oidc_scopes: str = Field(default="openid email profile", description="what is asked of the provider")
    oidc_domains: str = Field(
        default="",
        description="domains, separated by commas: whoever has a verified mail address in one is let in without an "
        "invitation",
    )
    oidc_groups: str = Field(
        default="", description="groups, separated by commas: whoever is in one is let in without an invitation"
    )
    oidc_groups_claim: str = Field(default="groups", description="claim of the provider that lists a person's groups")
    oidc_project: str = Field(
        default="default", description="project that persons come into who were let in so; empty: none"
    )
    oidc_role: Literal["viewer", "submitter", "maintainer", "admin"] = Field(
        default="viewer", description="what they are there: viewer, submitter, maintainer or admin"
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
    keep_audit_days: int = Field(
        default=365, ge=0, description="days that lines of the audit log are kept; 0: for ever"
    )
    keep_deliveries_days: int = Field(
        default=30, ge=0, description="days after a webhook delivery's end that its log is kept; 0: for ever"
    )
    gc_grace_s: int = Field(
        default=86_400,
        ge=3600,
        description="seconds that bytes are kept which nothing needs; an artifact that is new or was just used is left "
        "alone for as long",
    )

    # --- webhooks ------------------------------------------------------------------------------

    webhook_networks: str = Field(
        default="",
        description="networks that webhooks may reach although they are not public, comma-separated (10.1.0.0/16, "
        "127.0.0.1); empty: public addresses only",
    )
    webhook_http: bool = Field(default=False, description="webhooks may also be http:// addresses, without TLS")
    webhook_time_s: float = Field(
        default=15, gt=0, le=300, description="seconds that a webhook's receiver has, from connecting to its answer"
    )
    webhook_disable_after_s: int = Field(
        default=3 * 86_400, ge=1, description="seconds of nothing but failures after which a webhook is disabled"
    )
    webhook_threads: int = Field(
        default=8, ge=1, le=64, description="webhooks that one scheduler delivers to at a time"
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

    @field_validator("oidc_issuer")
    @classmethod
    def _as_it_names_itself(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value

    @field_validator("webhook_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for name in filter(None, (each.strip() for each in value.split(","))):
            ip_network(name)
        return value

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
        if self.oidc_issuer is not None and (self.public_url is None or self.oidc_client_id is None):
            raise ValueError("oidc_issuer needs public_url and oidc_client_id")
        if self.lease_s <= self.heartbeat_s:
            raise ValueError("lease_s must be longer than heartbeat_s")
        return self

    @property
    def oidc_domain_set(self) -> frozenset[str]:
        """Domains whose persons are let in."""
        return frozenset(one.strip().lower().lstrip("@") for one in self.oidc_domains.split(",") if one.strip())

    @property
    def oidc_group_set(self) -> frozenset[str]:
        """Groups whose members are let in."""
        return frozenset(one.strip() for one in self.oidc_groups.split(",") if one.strip())

    @property
    def scratch(self) -> Path:
        """The folder for short-lived files."""
        assert self.scratch_dir is not None
        return self.scratch_dir
