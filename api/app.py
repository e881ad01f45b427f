"""Wiring of the Flask application, and nothing else."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request

from api import openapi, problems, requests, routing
from api.auth import Gate
from api.pages import apidoc, index
from api.routing import EXTENSION, Door, Route
from api.settings import ServeSettings
from api.tailer import Tailer
from api.v1 import (
    artifacts,
    batches,
    builds,
    compare,
    datasets,
    events,
    gc,
    health,
    jobs,
    keys,
    maintenance,
    models,
    pins,
    pools,
    projects,
    quarantine,
    resolve,
    schemas,
    tokens,
    uploads,
    workers,
)
from api.work import builds as work_builds
from api.work import caches as work_caches
from api.work import presence
from scheduler import events as farm_events
from scheduler.farm import Farm
from scheduler.settings import Settings

_ROUTERS = [
    health.router,
    uploads.router,
    models.router,
    datasets.router,
    jobs.router,
    batches.router,
    builds.router,
    artifacts.router,
    pins.router,
    resolve.router,
    keys.router,
    compare.router,
    schemas.router,
    workers.router,
    pools.router,
    maintenance.router,
    quarantine.router,
    events.router,
    projects.router,
    tokens.router,
    gc.router,
    presence.router,
    work_builds.router,
    work_caches.router,
    openapi.router,
    apidoc.router,
    index.router,
]


def all_routes() -> list[Route]:
    """Every route of the application, in the order of the document."""
    return [route for router in _ROUTERS for route in router.routes]


def create_app(settings: Settings, farm: Farm | None = None, serve: ServeSettings | None = None) -> Flask:
    """The application over a farm (its own, where none is given)."""
    serve = serve or ServeSettings()
    farm = farm or Farm(settings)
    tailer = Tailer(_newest(farm), limit=serve.api_streams)
    app = Flask("api", static_folder=None, root_path=None)
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions[EXTENSION] = Door(farm=farm, gate=Gate(farm), tailer=tailer, stream_s=serve.api_stream_s)
    requests.register(app, serve.api_stall_s)
    problems.register(app)
    routing.mount(app, all_routes())

    def tell_listeners(response: Response) -> Response:
        if request.method not in {"GET", "HEAD"} and response.status_code < 400:
            tailer.nudge()
        return response

    app.after_request(tell_listeners)
    return app


def door(app: Flask) -> Door:
    """What the application's handlers share."""
    found: Any = app.extensions[EXTENSION]
    assert isinstance(found, Door)
    return found


def _newest(farm: Farm) -> Any:
    def newest() -> int:
        with farm.read() as session:
            return farm_events.newest(session)

    return newest
