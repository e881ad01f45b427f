"""The courier: threads of a scheduler process that hand events on to webhooks, beside its rounds.

Each thread serves one webhook for a moment and gives it back, so that no receiver, however slow, keeps more than one
thread, and all get their turns. Another scheduler does the same: what one holds the other leaves alone, until the lease
ends.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from standardwebhooks import Webhook as Signer

from enginehouse import __version__
from enginehouse.webhooks import Outcome
from scheduler import ids
from scheduler.farm import Farm
from scheduler.webhooks import line, message, sending
from scheduler.webhooks.fanout import fan_out
from scheduler.webhooks.line import Parcel
from scheduler.webhooks.reach import Reach
from scheduler.webhooks.sealing import Seal, Unreadable
from scheduler.webhooks.sending import Answer

SLICE_S = 2.0
"""How long a thread goes on with one webhook before others may have their turn."""

_STOP_S = 2.0

log = structlog.get_logger(__name__)


class Courier:
    """Delivers for one farm. ``look`` is one look; ``start`` makes a thread look again and again until ``stop``."""

    def __init__(self, farm: Farm) -> None:
        self.who = ids.new("courier")
        self._farm = farm
        self._seal = Seal(farm.settings)
        self._reach = Reach.of(farm.settings)
        self._serving: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._renewed = time.monotonic()

    def start(self) -> None:
        """Look in the background."""
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take nothing new, and give what is under way a moment. What is not through is sent again by the next one."""
        self._stopping.set()
        self._wanted.set()
        until = time.monotonic() + _STOP_S
        with self._lock:
            threads = [*self._serving.values(), *filter(None, [self._thread])]
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def look(self) -> int:
        """Hand on what was committed, and begin to serve webhooks that something waits for. Returns how many."""
        fan_out(self._farm)
        self._renew()
        room = self._farm.settings.webhook_threads - len(self._serving)
        if room <= 0:
            return 0
        with self._farm.read() as session:
            found = line.waiting(session, room)
        if not found or self._stopping.is_set():
            return 0
        with self._farm.write(durable=False) as session:
            taken = line.take(session, self.who, found, self._farm.settings.lease_s)
        for webhook in taken:
            thread = threading.Thread(target=self._serve, args=[webhook], name=f"courier-{webhook}", daemon=True)
            with self._lock:
                self._serving[webhook] = thread
            thread.start()
        return len(taken)

    def serve(self, webhook: str) -> int:
        """Send a webhook that is held what it waits for, for a moment; returns how many requests that took."""
        until = time.monotonic() + SLICE_S
        sent = 0
        while not self._stopping.is_set() and time.monotonic() < until:
            with self._farm.read() as session:
                # What was put aside takes turns with the line.
                parcel = line.next_(session, self.who, webhook, self._farm.settings, aside_first=sent % 2 == 1)
            if parcel is None:
                break
            started = datetime.now(UTC)
            answer = self._send(parcel, started)
            with self._farm.write(durable=False) as session:
                if not line.finish(session, self.who, parcel, started, answer, self._farm.settings):
                    log.warning("webhook.hold_lost", webhook=webhook, delivery=parcel.delivery)
                    break
            sent += 1
        return sent

    def _send(self, parcel: Parcel, moment: datetime) -> Answer:
        try:
            secrets = [self._seal.open(each) for each in parcel.secrets]
        except Unreadable:
            said = "the secret cannot be read, since ENGINEHOUSE_SECRET_KEY is another one; rotate the secret"
            return Answer(Outcome.SECRET_LOST, error=said)
        signatures = [Signer(secret).sign(parcel.message, moment, parcel.body) for secret in secrets]
        headers = {
            "Content-Type": message.CONTENT_TYPE,
            "User-Agent": f"enginehouse/{__version__}",
            "webhook-id": parcel.message,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        time_s = self._farm.settings.webhook_time_s
        return sending.post(parcel.url, headers, parcel.body.encode(), self._reach, time_s)

    def _serve(self, webhook: str) -> None:
        try:
            self.serve(webhook)
            with self._farm.write(durable=False) as session:
                line.release(session, self.who, webhook)
        except SQLAlchemyError as error:
            log.warning("webhook.registry_away", webhook=webhook, error=type(error).__name__)
        except Exception:
            log.exception("webhook.serving_failed", webhook=webhook)  # the lease ends, and it is tried again
        finally:
            with self._lock:
                self._serving.pop(webhook, None)
            self._wanted.set()

    def _renew(self) -> None:
        with self._lock:
            held = list(self._serving)
        if held and time.monotonic() - self._renewed >= self._farm.settings.heartbeat_s:
            with self._farm.write(durable=False) as session:
                line.renew(session, self.who, held, self._farm.settings.lease_s)
        if not held or time.monotonic() - self._renewed >= self._farm.settings.heartbeat_s:
            self._renewed = time.monotonic()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.clear()
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("webhook.registry_away", error=type(error).__name__)
            except Exception:
                log.exception("webhook.look_failed")  # the next look tries again
            self._wanted.wait(self._farm.settings.tick_s)
