"""A PostgreSQL that is ended at once, as by a crash: what others outside act upon is not forgotten."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import farmhand
import pytest
from services.process import missing, wait_until

from chaos.servers import Postgres, ServerMissing
from enginehouse.errors import AttemptStale
from farm.supervisor import Supervisor
from scheduler import tokens
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.settings import Settings


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="enginehouse-killed-"))  # not pytest's own, which no other user may enter
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def killable(folder: Path) -> Iterator[tuple[Postgres, Supervisor]]:
    try:
        # It writes its log by itself as rarely as it can: what nobody waited for is lost when it is killed.
        postgres = Postgres(folder / "postgres", wal_writer_delay="10s", autovacuum="off")
    except ServerMissing as error:
        missing("PostgreSQL", str(error))
    supervisor = Supervisor(lambda _line: None)
    try:
        supervisor.start(postgres.part(folder / "log"))
        wait_until(postgres.answers, 30, "postgres")
        postgres.create("registry")
        yield postgres, supervisor
    finally:
        supervisor.stop()


def test_a_fencing_number_is_not_given_twice(folder: Path, killable: tuple[Postgres, Supervisor], model_bytes: bytes):
    postgres, supervisor = killable
    url = postgres.url("registry")
    upgrade(url)
    settings = Settings(data_dir=folder, database_url=url, secret_key="k" * 32, signing_key="5" * 64)
    farm = Farm(settings)
    farm.broker.send = lambda *_, **__: False
    try:
        tokens.bootstrap(farm)
        one, two = farmhand.Farmhand(farm, "one"), farmhand.Farmhand(farm, "two", "boot-0002")
        model = farmhand.push(farm, model_bytes)
        build = farmhand.submit(farm, model, "openvino:fp32").builds[0].id
        farmhand.tick(farm)
        first = one.claim(build)
        supervisor.hold("postgres")
        supervisor.restart("postgres")
        wait_until(postgres.answers, 30, "postgres")
        farm.engine.dispose()
        farmhand.let_leases_end(farm)
        farmhand.tick(farm)
        two.beat()
        farmhand.tick(farm)
        second = two.claim(build)
        assert second.fence > first.fence
        with pytest.raises(AttemptStale):
            one.complete(first)
        assert two.complete(second).state == "succeeded"
    finally:
        farm.dispose()
