"""The farm as its own processes hold it: settings, registry, store, broker. Wiring, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from enginehouse.errors import EnginehouseError
from scheduler import audit
from scheduler.broker import Broker
from scheduler.celery_app import celery_app
from scheduler.registry.engine import begin_write, connect
from scheduler.settings import Settings
from scheduler.signing import Signer, signer_from
from scheduler.store import store_from

log = structlog.get_logger(__name__)


class Farm:
    """One per process. Sessions are short: no network and no file is touched inside of one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = connect(settings.database_url)
        self.store = store_from(settings)
        self.broker = Broker(celery_app(settings.broker_url))
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @cached_property
    def signer(self) -> Signer:
        """Who signs provenance; asked for by the API alone. Raises SigningKeyMissing."""
        return signer_from(self.settings)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Session]:
        """One transaction as the registry's only writer; afterwards the dispatcher is woken if it was asked for.

        The line of the audit log that is due goes into it.

        ``durable=False`` is for what the farm finds out again by itself after the power failed (see ``begin_write``).
        """
        with self._sessions() as session:
            begin_write(session, durable=durable)
            yield session
            if durable:
                audit.add_to(session)
            session.commit()
            wake = session.info.pop("wake", False)
        if wake:
            self.broker.wake()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A consistent look at the registry."""
        with self._sessions() as session:
            yield session

    def checks(self) -> dict[str, str]:
        """Each part that the farm needs: 'ok', or what is wrong."""
        found = {}
        try:
            with self.read() as session:
                session.execute(text("SELECT version_num FROM alembic_version"))
            found["registry"] = "ok"
        except SQLAlchemyError as error:
            found["registry"] = f"{type(error).__name__}: is it running and migrated?"
        try:
            self.broker.check()
            found["broker"] = "ok"
        except (OperationalError, RedisError, OSError) as error:
            found["broker"] = f"{type(error).__name__}: is Redis running?"
        try:
            self.store.check()
            found["store"] = "ok"
        except EnginehouseError as error:
            found["store"] = error.detail
        return found

    def dispose(self) -> None:
        """Close what was opened."""
        self.broker.close()
        self.engine.dispose()


def wake_after(session: Session) -> None:
    """Wake the dispatcher once this transaction is committed."""
    session.info["wake"] = True
