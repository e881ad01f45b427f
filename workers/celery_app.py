"""The Celery side of a worker: its own queue and its pool's, one task, threads.

SQL is the truth; a message is only a hint.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from celery import Celery, bootsteps, signals
from celery.concurrency.thread import TaskPool
from celery.exceptions import CPendingDeprecationWarning
from kombu import Exchange, Queue

from enginehouse.messages import BUILD, CELERY

if TYPE_CHECKING:
    from workers.agent import Agent


class Waker:
    """A pipe into Celery's event loop, from any thread."""

    def __init__(self) -> None:
        self.read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._deaf = False

    def wake(self) -> None:
        """Let the loop look at once whether it may take another message."""
        try:
            os.write(self._write, b"x")
        except BlockingIOError:
            return  # it is about to wake anyway

    def reconnect(self) -> None:
        """Let the loop give up its connection and make a new one."""
        self._deaf = True
        self.wake()

    def woken(self) -> None:
        """Runs in the loop. Raises ConnectionResetError where a new connection is wanted."""
        os.read(self.read, 4096)
        if self._deaf:
            self._deaf = False
            raise ConnectionResetError("work waits and no message came")


def celery_app(broker_url: str, queues: Sequence[str], agent: Agent, waker: Waker) -> Celery:
    """An application that consumes these queues and gives each message to the agent."""
    app = Celery("enginehouse-worker", broker=broker_url, set_as_current=False)
    app.conf.update(
        CELERY,
        # The anonymous exchange needs no bindings in Redis: a flushed broker still routes.
        task_queues=[Queue(queue, Exchange("", type="direct"), routing_key=queue) for queue in queues],
        task_default_queue=queues[0],
        worker_disable_prefetch=True,
        broker_transport_options={"socket_timeout": 30, "socket_connect_timeout": 5, "health_check_interval": 10},
    )
    agent.deaf = waker.reconnect
    agent.opened = waker.wake

    class WakerStep(bootsteps.StartStopStep):  # type: ignore[misc, unused-ignore]
        """Puts the waker into the event loop, again after every reconnect."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, parent: Any) -> None:
            parent.hub.add_reader(waker.read, waker.woken)
            _ask_only_while_open(parent.task_consumer.channel.qos, agent)

    app.steps["consumer"].add(WakerStep)

    @app.task(name=BUILD)
    def build(build: str, attempt: int) -> None:
        agent.handle(build, attempt)

    return app


def _ask_only_while_open(qos: Any, agent: Agent) -> None:
    """A worker that shall take nothing new asks the queue for nothing. This is where Celery looks for a free slot."""
    has_room = qos.can_consume
    qos.can_consume = lambda: agent.open and has_room()


def consumer(app: Celery, agent: Agent, waker: Waker) -> Any:
    """A Celery worker on threads, one per slot. ``start()`` blocks until it is told to stop."""

    class WakingPool(TaskPool):  # type: ignore[misc, unused-ignore]
        """Without prefetch the loop asks for the next message only when it wakes, up to a second after a task ends."""

        def on_apply(
            self,
            target: Any,
            args: Any = None,
            kwargs: Any = None,
            callback: Any = None,
            accept_callback: Any = None,
            **rest: Any,
        ) -> Any:
            def then(*results: Any, **named: Any) -> None:
                try:
                    callback(*results, **named)
                finally:
                    waker.wake()

            return super().on_apply(target, args, kwargs, then, accept_callback, **rest)

    # What Celery says of root is about pickle, and messages are JSON; of a lost connection, about late acknowledgement.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges", append=False)
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning, module=r"celery\.")
    worker = app.Worker(
        pool=WakingPool,
        concurrency=agent.settings.slots,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="WARNING",
        quiet=True,
    )
    signals.worker_shutting_down.connect(lambda **_: agent.stop(), weak=False)
    return worker
