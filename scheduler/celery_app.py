"""The scheduler's Celery application: messages out to the pools, and the control queue that wakes it."""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from enginehouse.messages import CELERY

CONTROL_QUEUE = "control"
TICK = "enginehouse.tick"
SWEEP = "enginehouse.sweep"


def celery_app(broker_url: str) -> Celery:
    """An application on this broker. Messages are JSON and carry ids only."""
    app = Celery("enginehouse", broker=broker_url, set_as_current=False)
    app.conf.update(
        CELERY,
        broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2, "retry_on_timeout": False},
        task_queues=[Queue(CONTROL_QUEUE)],
        task_default_queue=CONTROL_QUEUE,
    )
    return app
