"""The scheduler process, ``python -m scheduler``: a Celery worker on the control queue, its clock, and the courier."""

from __future__ import annotations

import signal
import sys
from datetime import timedelta
from threading import Thread

import structlog
from celery.beat import EmbeddedService

from sandbox.privileges import hide
from scheduler import uploads
from scheduler.celery_app import CONTROL_QUEUE, SWEEP, TICK
from scheduler.dispatch import tick
from scheduler.farm import Farm
from scheduler.logs import configure
from scheduler.retention.run import Hourly
from scheduler.settings import Settings
from scheduler.tokens import bootstrap
from scheduler.webhooks.courier import Courier

SWEEP_EVERY_S = 300.0

log = structlog.get_logger(__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    configure()
    hide()  # the settings hold secrets
    settings = Settings()
    farm = Farm(settings)
    bootstrap(farm)
    app = farm.broker.app
    hourly = Hourly(farm)
    courier = Courier(farm)

    @app.task(name=TICK)
    def round_() -> None:
        try:
            tick(farm)
        except Exception:
            log.exception("scheduler.round_failed")  # the next round tries again; the scheduler lives on

    @app.task(name=SWEEP)
    def sweep() -> None:
        try:
            uploads.sweep(farm)
        except Exception:
            log.exception("scheduler.sweep_failed")
        hourly.look()

    app.conf.beat_schedule = {
        name: {
            "task": name,
            "schedule": timedelta(seconds=every),
            "options": {"expires": every, "queue": CONTROL_QUEUE},
        }
        for name, every in {TICK: settings.tick_s, SWEEP: SWEEP_EVERY_S}.items()
    }
    clock = EmbeddedService(app, thread=True, max_interval=settings.tick_s, scheduler_cls="celery.beat:Scheduler")  # type: ignore[arg-type]  # the stub says int, Celery sleeps any number
    assert isinstance(clock, Thread)  # and not the process that thread=False would give
    clock.daemon = True
    clock.start()
    arguments = ["worker", "-Q", CONTROL_QUEUE, "-P", "solo", "--without-gossip", "--without-mingle"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Celery has its own handler
    try:
        courier.start()
        app.worker_main([*arguments, "--without-heartbeat", "-n", "scheduler@%h", "--loglevel", "WARNING"])
    finally:
        courier.stop()
        farm.dispose()


if __name__ == "__main__":
    main()
