"""How often somebody may try: counted in Redis for all processes, and by each process alone while Redis is away.

The counting is that of ``limits``, with a window that slides. A limit that stopped holding with Redis would let
passwords be guessed by who can disturb Redis; one that refused everybody would make Redis a part that signing in needs.
"""

from __future__ import annotations

import math
import threading
import time

import structlog
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry

from enginehouse.errors import TooManyRequests

AWAY_S = 5.0
"""A Redis that is away is asked again after as long: each time it is asked takes a moment of the request."""

log = structlog.get_logger(__name__)


class Limits:
    """The limits of one process."""

    def __init__(self, redis_url: str, prefix: str = "enginehouse-limits") -> None:
        self._storage = RedisStorage(
            redis_url,
            connection_pool=ConnectionPool.from_url(
                redis_url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
            ),
            key_prefix=prefix,
            wrap_exceptions=True,
        )
        self._shared = SlidingWindowCounterRateLimiter(self._storage)
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage(wrap_exceptions=True))
        self._away_until = 0.0
        self._lock = threading.Lock()

    def count(self, limit: str, what: str, whose: str) -> None:
        """One more of something by somebody. Raises TooManyRequests, which is not counted."""
        item = parse(limit)
        left, after = self._hit(item, what, whose)
        if not left:
            seconds = max(1, math.ceil(after))
            raise TooManyRequests(
                f"{item.amount} of them are taken in {item.get_expiry()} s; the next in {seconds} s",
                limit=limit,
                retry_after_s=seconds,
            )

    def close(self) -> None:
        """Give the connections back."""
        self._storage.storage.close()

    def _hit(self, item: RateLimitItem, what: str, whose: str) -> tuple[bool, float]:
        """Whether it was counted, and else the seconds until one may come."""
        if time.monotonic() >= self._away_until:
            try:
                return self._on(self._shared, item, what, whose)
            except StorageError as error:
                with self._lock:
                    self._away_until = time.monotonic() + AWAY_S
                log.warning("limits.redis_away", error=str(error.storage_error))
        return self._on(self._own, item, what, whose)

    @staticmethod
    def _on(counter: SlidingWindowCounterRateLimiter, item: RateLimitItem, what: str, whose: str) -> tuple[bool, float]:
        if counter.hit(item, what, whose):
            return True, 0.0
        return False, counter.get_window_stats(item, what, whose).reset_time - time.time()
