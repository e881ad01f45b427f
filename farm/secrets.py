"""The embedded farm's secrets. They go to the parts by environment, never on command lines."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Secrets:
    """Made once per home."""

    secret_key: str = field(repr=False)
    admin_token: str = field(repr=False)
    worker_token: str = field(repr=False)
    redis_password: str = field(repr=False)

    @classmethod
    def make(cls) -> Secrets:
        """New ones, 256 random bits each."""
        return cls(
            secret_key=secrets.token_urlsafe(32),
            admin_token=f"eh_{secrets.token_urlsafe(32)}",
            worker_token=f"eh_{secrets.token_urlsafe(32)}",
            redis_password=secrets.token_hex(32),
        )

    @classmethod
    def from_json(cls, text: str) -> Secrets:
        """Read what ``to_json`` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """For the file that only the owner reads."""
        return json.dumps(asdict(self), indent=2) + "\n"
