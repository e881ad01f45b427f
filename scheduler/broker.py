"""The way to the queues: messages that are owed, and wake-ups that may be lost."""

from __future__ import annotations

import threading
import time

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from scheduler.celery_app import CONTROL_QUEUE, TICK

log = structlog.get_logger(__name__)

QUIET_AFTER_FAILURE_S = 1.0
"""A broker that is down is asked once a second, not once a request."""


class Broker:
    """The way to the queues. Every send may fail; whoever owes a message keeps it in the outbox."""

    def __init__(self, app: Celery) -> None:
        self.app = app
        self._quiet_until = 0.0
        self._lock = threading.Lock()
        self._waker: threading.Thread | None = None
        self._wanted = threading.Event()
        self._closed = False

    def send(self, queue: str, task: str, body: dict[str, object], expires: float | None = None) -> bool:
        """Send one message; False when the broker did not take it.

        Given a queue and nothing else, Celery sends through the anonymous exchange, which needs no bindings in
        Redis: a flushed broker still routes.
        """
        if time.monotonic() < self._quiet_until:
            return False
        try:
            self.app.send_task(task, kwargs=body, queue=queue, retry=False, expires=expires)
        except (OperationalError, RedisError, OSError) as error:
            with self._lock:
                self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE_S
            log.warning("broker.send_failed", queue=queue, error=str(error))
            return False
        return True

    def wake(self) -> None:
        """Ask the dispatcher to look now. Never blocks; lost wake-ups are harmless: it also looks by itself."""
        with self._lock:
            if self._waker is None:
                self._waker = threading.Thread(target=self._keep_waking, name="broker-wake", daemon=True)
                self._waker.start()
        self._wanted.set()

    def _keep_waking(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closed:
                return
            self.send(CONTROL_QUEUE, TICK, {}, expires=5)

    def check(self) -> None:
        """Raise OSError or RedisError when the broker does not answer."""
        url = self.app.conf.broker_url
        with Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
            client.ping()

    def close(self) -> None:
        """Give the connections back."""
        self._closed = True
        self._wanted.set()
        if self._waker is not None:
            self._waker.join(timeout=10)
        self.app.close()
