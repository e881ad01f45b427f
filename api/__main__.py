"""``python -m api``: the API under gunicorn's thread workers, until SIGTERM."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from api.app import create_app, door
from api.settings import ServeSettings
from enginehouse.errors import SigningKeyMissing
from sandbox.privileges import hide
from scheduler import keys, logs, persons, tokens
from scheduler.farm import Farm
from scheduler.settings import Settings
from scheduler.signing import signer_from


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, told everything by our own settings: no configuration file, no command line."""

    def __init__(self, settings: Settings, serve: ServeSettings) -> None:
        self._settings = settings
        self._serve = serve
        super().__init__()

    def load_config(self) -> None:
        """Hand our settings over."""
        serve = self._serve
        for name, value in {
            "bind": serve.bind,
            "worker_class": "gthread",
            "workers": serve.api_processes,
            "threads": serve.api_threads,
            "worker_connections": max(1000, 4 * serve.api_threads),
            "keepalive": 5,
            "graceful_timeout": serve.api_graceful_s,
            # The arbiter asks each worker's main thread, which only polls: a long upload does not hold it.
            "timeout": 60,
            "control_socket_disable": True,
            "accesslog": None,
            "loglevel": "warning",
            "proc_name": "enginehouse-api",
            "post_worker_init": _after_start,
            "worker_exit": _at_exit,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, made in each worker: database connections do not survive a fork."""
        farm = Farm(self._settings)
        tokens.bootstrap(farm)
        persons.bootstrap(farm)
        keys.bootstrap(farm)
        return create_app(self._settings, farm, self._serve)


def _after_start(worker: Any) -> None:
    """End the event streams as soon as the process is told to stop; the server would wait for them."""
    app: Flask = worker.wsgi
    before = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        door(app).tailer.stop()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, stop)


def _at_exit(_server: Any, worker: Any) -> None:
    app = getattr(worker, "wsgi", None)
    if isinstance(app, Flask):
        door(app).close()


def main() -> int:
    """Serve until told to stop."""
    logs.configure()
    hide()  # the settings hold secrets
    settings = Settings()
    try:
        signer_from(settings)  # here, where it can be said plainly; each process of the server reads it for itself
    except SigningKeyMissing as error:
        sys.stderr.write(f"{error.detail}. {error.hint}\n")
        return 1
    Server(settings, ServeSettings()).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
