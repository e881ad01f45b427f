"""The graph viewer Netron, from the package of that name, under a page and a policy of ours.

Its own page would ask ipinfo.io where the reader is, report to Google Analytics, and refuse to work 180 days after its
release. It reads the release date and its version out of its page's head, and the consent out of a cookie: ours has no
date, the version that it takes for unreleased, and the cookie. The policy allows no connection but with this farm.
Files come through the API, never by a redirect to the store, so that this holds with S3 too.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib import metadata, resources
from importlib.resources.abc import Traversable

from flask import Response

from api import downloads
from api.auth import Scope
from api.bodies import OCTETS
from api.routing import Call, Router
from enginehouse.errors import NotFound, RangeNotSatisfiable
from scheduler import artifacts, models

router = Router("page_netron", pages=True)

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # it places what it draws by style attributes
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "object-src 'none'",
    )
)
_KINDS = {
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="type" content="Browser">
<meta name="version" content="0.0.0">
<title>Netron</title>
<link rel="stylesheet" href="grapher.css">
<link rel="icon" type="image/png" href="icon.png">
<script src="index.js"></script>
"""


@router.route("GET", "/netron/", Scope.READ, "The graph viewer", produces="text/html")
def show(_call: Call) -> Response:
    """``?url=`` names what it opens: a path below files/ here."""
    answer = Response(_page(), content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = _POLICY
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    answer.set_cookie("consent", "none", path="/netron/", samesite="Strict")
    return answer


@router.route("GET", "/netron/<name>", Scope.READ, "A file of the graph viewer", produces="*/*", errors=(NotFound,))
def part(_call: Call, name: str) -> Response:
    """Scripts, tables and pictures of the package; nothing else in it is served."""
    file = _files().get(name)
    if file is None:
        raise NotFound(f"the graph viewer has no file {name}")
    headers = {"Cache-Control": "private, max-age=86400", "Content-Security-Policy": _POLICY}
    return Response(file.read_bytes(), content_type=_KINDS["." + name.rpartition(".")[2]], headers=headers)


@router.route(
    "GET",
    "/netron/files/models/<model>/<path:path>",
    Scope.READ,
    "A file of a model, for the graph viewer",
    produces=OCTETS,
    errors=(NotFound, RangeNotSatisfiable),
)
def model_file(call: Call, model: str, path: str) -> Response:
    """Through the API, wherever the store is."""
    return downloads.send(replace(models.file(call.farm, call.principal, model, path), url=None))


@router.route(
    "GET",
    "/netron/files/artifacts/<artifact>/<path:path>",
    Scope.READ,
    "A file of an artifact, for the graph viewer",
    produces=OCTETS,
    errors=(NotFound, RangeNotSatisfiable),
)
def artifact_file(call: Call, artifact: str, path: str) -> Response:
    """Through the API, wherever the store is."""
    return downloads.send(replace(artifacts.file(call.farm, call.principal, artifact, path), url=None))


@cache
def _page() -> str:
    """The viewer's page with a head of ours: its style and its body are the package's."""
    text = (_package() / "index.html").read_text(encoding="utf-8")
    style = re.search(r"<style>.*?</style>", text, re.DOTALL)
    body = re.search(r"<body\b.*</body>", text, re.DOTALL)
    if style is None or body is None:
        raise RuntimeError(f"the page of netron {metadata.version('netron')} is not as expected")
    inside = body.group().replace('href="javascript:void(0)"', 'href="#"')
    return f"{_HEAD}{style.group()}\n</head>\n{inside}\n</html>\n"


@cache
def _files() -> dict[str, Traversable]:
    return {file.name: file for file in _package().iterdir() if "." + file.name.rpartition(".")[2] in _KINDS}


def _package() -> Traversable:
    return resources.files("netron")
