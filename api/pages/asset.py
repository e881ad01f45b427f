"""What pages load: style, scripts, pictures. An address names the content, so a browser keeps it for a year."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.errors import NotFound

ASSETS = Path(__file__).parent / "assets"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

router = Router("page_assets", pages=True)


class AssetQuery(BaseModel):
    """Which content is expected; only caches look at it."""

    model_config = ConfigDict(extra="forbid")

    v: str = Field(default="", max_length=64, description="the first digits of the content's SHA-256")


@router.route("GET", "/assets/<path:name>", Scope.PUBLIC, "What pages load", produces="*/*", errors=(NotFound,))
def show(_call: Call, name: str, query: AssetQuery) -> Response:
    """Style sheets, scripts, pictures and licences of the pages."""
    file = _files().get(name)
    if file is None:
        raise NotFound(f"there is no asset {name}")
    current = query.v == digest(name)
    return Response(
        file.read_bytes(),
        content_type=_KINDS[file.suffix],
        headers={"Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache"},
    )


def address(name: str) -> str:
    """Where a page loads an asset from."""
    return f"/assets/{name}?v={digest(name)}"


@cache
def digest(name: str) -> str:
    """The first digits of its content's SHA-256."""
    return hashlib.sha256(_files()[name].read_bytes()).hexdigest()[:16]


@cache
def _files() -> dict[str, Path]:
    """Every asset by name; nothing else in the folder, or outside of it, is served."""
    return {str(file.relative_to(ASSETS)): file for file in ASSETS.rglob("*") if file.suffix in _KINDS}
