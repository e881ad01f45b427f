"""A worker from its settings to its end. The only place that wires the parts of a worker together."""

from __future__ import annotations

import os
import signal
import sys
import threading

import structlog

from sandbox.privileges import hide


def serve() -> int:
    """Probe, warm up, sign on, consume until SIGTERM or SIGINT, sign off. Returns the exit status."""
    from workers.agent import Agent, describe, own_scratch
    from workers.child.environment import remove_secrets
    from workers.child.parent import warm_up
    from workers.farm_client import FarmClient
    from workers.probe import probe
    from workers.settings import WorkerSettings

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    log = structlog.get_logger()
    settings = WorkerSettings()
    client = FarmClient(settings.url, settings.token)
    # From here on neither the environment nor /proc shows the token: children inherit the one and could read the other.
    remove_secrets()
    hide()
    try:
        own_scratch(settings.scratch_dir)
    except BlockingIOError:
        log.error("worker.scratch_taken", folder=str(settings.scratch_dir))
        return 2
    warm_up()
    found = probe(settings.tags)
    log.info(
        "worker.found",
        hardware_class=found.hardware.hardware_class,
        offers=describe(found.capabilities),
        missing=dict(found.missing),
    )
    agent = Agent(settings, client, found)
    # Until the consumer takes the signals over, they end the wait for a farm.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    return _consume(agent, settings.broker_url)


def _consume(agent: object, broker_url: str) -> int:
    from enginehouse.errors import EnginehouseError
    from workers.agent import Agent
    from workers.celery_app import Waker, celery_app, consumer

    assert isinstance(agent, Agent)
    log = structlog.get_logger()
    try:
        signed_on = agent.sign_on()
    except EnginehouseError as error:
        log.error("worker.not_signed_on", code=error.code, detail=error.detail)
        return 0 if error.retried else 1
    waker = Waker()
    app = celery_app(broker_url, (signed_on.own_queue, signed_on.queue), agent, waker)
    agent.leave = lambda: os.kill(os.getpid(), signal.SIGTERM)  # the way out that the consumer knows
    beats = threading.Thread(target=agent.beat_until_stopped, name="heartbeat", daemon=True)
    beats.start()
    worker = consumer(app, agent, waker)
    try:
        worker.start()
    finally:
        agent.stop()
        agent.sign_off()
        agent.client.close()
    return 0
