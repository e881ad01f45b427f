"""How the API process listens: environment variables ``ENGINEHOUSE_*`` beside the scheduler's own settings."""

from __future__ import annotations

import limits
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServeSettings(BaseSettings):
    """What ``python -m api`` is told about listening. Every field is the variable ``ENGINEHOUSE_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="ENGINEHOUSE_", extra="ignore", env_ignore_empty=True)

    bind: str = Field(default="127.0.0.1:8470", description="address and port that the API listens on")
    api_processes: int = Field(default=1, ge=1, le=64, description="processes that answer requests")
    api_threads: int = Field(default=32, ge=2, le=512, description="requests that one process answers at a time")
    api_streams: int = Field(
        default=16, ge=1, le=500, description="event streams per process; each holds a thread while it is open"
    )
    api_stream_s: float = Field(
        default=600, gt=0, description="seconds after which an event stream ends (clients come back with its cursor)"
    )
    api_stall_s: float = Field(
        default=60, gt=0, description="seconds without a byte after which a stalled upload or download is cut"
    )
    api_proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="proxies in front of the API, whose X-Forwarded-For and X-Forwarded-Proto are believed",
    )
    sign_in_limit: str = Field(default="20/minute", description="attempts to sign in that one address may make")
    sign_in_name_limit: str = Field(
        default="100/hour", description="attempts to sign in under one name, from all addresses together"
    )
    submit_limit: str = Field(
        default="6000/minute", description="jobs and batches that one person or token may submit; more get a 429"
    )
    api_graceful_s: int = Field(default=30, ge=1, description="seconds that running requests have at shutdown")

    @field_validator("sign_in_limit", "sign_in_name_limit", "submit_limit")
    @classmethod
    def _is_a_limit(cls, value: str) -> str:
        limits.parse(value)  # ValueError where it is none
        return value
