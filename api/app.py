"""Wiring of the Flask application, and nothing else."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from api import openapi, problems, requests, routing
from api.auth import Gate
from api.limits import Limits
from api.oidc import Provider
from api.pages import account, apidoc, asset, draw_error, home, signin
from api.pages import build as page_build
from api.pages import compare as page_compare
from api.pages import datasets as page_datasets
from api.pages import farm as page_farm
from api.pages import job as page_job
from api.pages import jobs as page_jobs
from api.pages import models as page_models
from api.pages import netron as page_netron
from api.pages import settings as settings_pages
from api.pages import submit as page_submit
from api.pages import workers as page_workers
from api.routing import EXTENSION, Door, Route
from api.settings import ServeSettings
from api.tailer import Tailer
from api.v1 import (
    artifacts,
    audit,
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
    me,
    members,
    models,
    persons,
    pins,
    pools,
    projects,
    quarantine,
    resolve,
    schemas,
    tokens,
    uploads,
    webhook_deliveries,
    webhooks,
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
    members.router,
    persons.router,
    me.router,
    audit.router,
    gc.router,
    webhooks.router,
    webhook_deliveries.router,
    presence.router,
    work_builds.router,
    work_caches.router,
    openapi.router,
    apidoc.router,
    asset.router,
    home.router,
    page_submit.router,
    page_models.router,
    page_datasets.router,
    page_netron.router,
    page_workers.router,
    page_farm.router,
    page_jobs.router,
    page_job.router,
    page_build.router,
    page_compare.router,
    signin.router,
    account.router,
    *settings_pages.routers,
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
    limits = Limits(settings.broker_url)
    gate = Gate(farm)
    provider = Provider(app, settings, gate.cookie) if settings.oidc_issuer is not None else None
    app.extensions[EXTENSION] = Door(farm, gate, tailer, limits, serve, provider)
    if serve.api_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=serve.api_proxies, x_proto=serve.api_proxies)  # type: ignore[method-assign]
    requests.register(app, serve.api_stall_s, farm.store.origins())
    problems.register(app, draw_error)
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
