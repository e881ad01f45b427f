"""The worker's settings: environment variables ``ENGINEHOUSE_*``."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class WorkerSettings(BaseSettings):
    """Everything that a worker is told from outside."""

    model_config = SettingsConfigDict(env_prefix="ENGINEHOUSE_", extra="ignore")

    url: str = Field(default="http://127.0.0.1:8080", description="the farm's address")
    token: str = Field(default="", description="a token with the scope 'work'", repr=False)
    broker_url: str = Field(
        default="redis://127.0.0.1:6379/0", description="the Redis that carries messages", repr=False
    )
    worker_name: str = Field(
        default_factory=socket.gethostname, description="unique in the farm; the host's name where it is not given"
    )
    slots: int = Field(default=1, ge=1, le=256, description="builds at a time")
    scratch_dir: Path = Field(
        default=Path("~/.cache/enginehouse/worker"), description="working folders of builds, and the cache of inputs"
    )
    cache_bytes: int = Field(
        default=20 * 2**30, ge=0, description="bytes of inputs kept; the least recently used go first"
    )
    tags: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="extra hardware tags, comma-separated")
    benchmark_s: float = Field(default=3.0, gt=0, le=600, description="seconds of timed inferences per benchmark")
    stop_grace_s: float = Field(default=3.0, ge=0, le=60, description="seconds between TERM and KILL of a build")

    @field_validator("tags", mode="before")
    @classmethod
    def _comma_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(tag.strip().lower() for tag in value.split(",") if tag.strip())
        return value

    @field_validator("scratch_dir")
    @classmethod
    def _expanded(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("worker_name")
    @classmethod
    def _plain(cls, value: str) -> str:
        plain = "".join(char if char.isascii() and (char.isalnum() or char in "_.-") else "-" for char in value)
        return plain.strip("_.-")[:100] or "worker"
