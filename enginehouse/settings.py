"""Where the farm is and how to sign in: arguments, environment, then the embedded farm's own file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from enginehouse.errors import RequestError

DEFAULT_URL = "http://127.0.0.1:8470"
FARM_FILE = "farm.json"


@dataclass(frozen=True)
class ClientSettings:
    """The client's whole configuration.

    ``source`` says in words where the address came from; ``token`` is None on a farm that needs none.
    """

    url: str
    token: str | None = field(repr=False)
    source: str
    home: Path

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: the only place that may see the token."""
        return origin_of(self.url)

    @property
    def farm_file(self) -> Path:
        """Where the embedded farm writes its address and token."""
        return self.home / FARM_FILE


def client_settings(
    url: str | None = None, token: str | None = None, environ: Mapping[str, str] | None = None
) -> ClientSettings:
    """Settle the address and the token.

    Address: the argument, ``ENGINEHOUSE_URL``, the embedded farm's file, ``http://127.0.0.1:8470``.
    Token: the argument, ``ENGINEHOUSE_TOKEN``, the file's token; the last only for the file's own address.
    Raises RequestError when the address cannot be one.
    """
    env = os.environ if environ is None else environ
    home = Path(env["ENGINEHOUSE_HOME"]) if env.get("ENGINEHOUSE_HOME") else Path.home() / ".enginehouse"
    embedded = _farm_file(home / FARM_FILE)
    if url:
        address, source = url, "argument"
    elif env.get("ENGINEHOUSE_URL"):
        address, source = env["ENGINEHOUSE_URL"], "ENGINEHOUSE_URL"
    elif embedded:
        address, source = embedded[0], str(home / FARM_FILE)
    else:
        address, source = DEFAULT_URL, "default"
    address = checked_url(address, source)
    chosen = token or env.get("ENGINEHOUSE_TOKEN") or None
    if chosen is None and embedded and embedded[0].rstrip("/") == address:
        chosen = embedded[1]
    if chosen is not None and not (chosen.isascii() and chosen.isprintable() and " " not in chosen):
        raise RequestError(
            "the token holds characters that no token has", advice="Set ENGINEHOUSE_TOKEN to the token alone."
        )
    return ClientSettings(url=address, token=chosen, source=source, home=home)


def checked_url(url: str, source: str = "argument") -> str:
    """The farm's address without a trailing slash, or RequestError."""
    advice = f"Write it like {DEFAULT_URL} or https://farm.example.org."
    try:
        parts = urlsplit(url.strip())
        origin_of(url.strip())
    except ValueError as error:
        raise RequestError(f"the farm's address {url!r} (from {source}) is none: {error}", advice=advice) from None
    if parts.username or parts.password:
        raise RequestError(
            f"the farm's address (from {source}) holds a password", advice="Give the token in ENGINEHOUSE_TOKEN."
        )
    if parts.query or parts.fragment:
        raise RequestError(f"the farm's address {url!r} (from {source}) has a query or fragment", advice=advice)
    return url.strip().rstrip("/")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an http(s) address; ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it must begin with http:// or https://")
    if not parts.hostname:
        raise ValueError("it names no host")
    return parts.scheme, parts.hostname.lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _farm_file(path: Path) -> tuple[str, str | None] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("url"), str):
        return None
    token = content.get("token")
    return content["url"], token if isinstance(token, str) and token else None
