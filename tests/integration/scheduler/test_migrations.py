"""Migrations: one head, up and down on both databases, and the tables match the schema that they make."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from scheduler.registry.engine import connect
from scheduler.registry.migrate import config, downgrade, upgrade
from scheduler.registry.tables import Artifact, Base, Blob, BlobUse, Build, Job


def test_there_is_one_head():
    assert len(ScriptDirectory.from_config(config("sqlite://")).get_heads()) == 1


def test_up_down_and_up_again(database_url):
    upgrade(database_url)
    engine = connect(database_url)
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    downgrade(database_url, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version", "sqlite_sequence"}
    upgrade(database_url)
    upgrade(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM projects")).scalar() == 0
    engine.dispose()


def test_each_revision_goes_down_by_itself(database_url):
    script = ScriptDirectory.from_config(config(database_url))
    revisions = [revision.revision for revision in script.walk_revisions()]
    upgrade(database_url)
    for below in [*revisions[1:], "base"]:
        downgrade(database_url, below)
    for revision in reversed(revisions):
        upgrade(database_url, revision)


def test_builds_that_are_there_begin_ladders_of_one_rung_and_stand_in_line(database_url):
    upgrade(database_url, "0002")
    engine = connect(database_url)
    moment = "2026-11-21 00:00:00+00:00"
    sha, gates = "0" * 64, '{"min_cosine": 0.9}'
    recipe = '{"target": {"backend": "openvino", "precision": "fp16", "requires": ["cpu", "avx2"]}}'
    with engine.begin() as connection:
        for statement in (
            f"INSERT INTO projects VALUES ('p', 'p', '{moment}')",
            "INSERT INTO models (project_id, id, serial, name, size, files, signature, created) VALUES "
            f"""('p', '{sha}', 's', '', 1, '[]', '{{"format": "onnx"}}', '{moment}')""",
            "INSERT INTO jobs (id, project_id, name, model_id, state, priority, gates, limits, request_id, "
            f"request_digest, created) VALUES ('j', 'p', '', '{sha}', 'waiting', 'low', '{gates}', '{{}}', '', "
            f"'{sha}', '{moment}')",
            "INSERT INTO builds (id, job_id, project_id, position, model_id, recipe, state, reason, rank, request_key, "
            "attempt, tries, fence, not_before, created) VALUES "
            f"('b', 'j', 'p', 0, '{sha}', '{recipe}', 'waiting', '', 0, '{sha}', 0, 0, 0, '{moment}', '{moment}')",
        ):
            connection.exec_driver_sql(statement)
    upgrade(database_url)
    with Session(engine) as session:
        row = session.get_one(Build, "b")
        assert (row.gates, row.rung, row.ladder_of, row.note) == ({"min_cosine": 0.9}, 0, None, "")
        assert (row.demand, row.due) == ("onnx openvino:fp16@avx2+cpu", row.created)
        assert not session.get_one(Job, "j").ladder
    downgrade(database_url, "0002")
    upgrade(database_url)
    engine.dispose()


def test_what_is_there_is_entered_with_the_bytes_that_it_consists_of(database_url):
    upgrade(database_url, "0003")
    engine = connect(database_url)
    moment = "2026-11-21 00:00:00+00:00"
    model, bundle, sha = "0" * 64, "1" * 64, "2" * 64
    files = f'[{{"path": "m", "sha256": "{sha}", "size": 3}}, {{"path": "n", "sha256": "{sha}", "size": 3}}]'
    with engine.begin() as connection:
        for statement in (
            f"INSERT INTO projects VALUES ('p', 'p', '{moment}')",
            f"INSERT INTO blobs VALUES ('{sha}', 3, 'blobs/k', '{moment}')",
            "INSERT INTO models (project_id, id, serial, name, size, files, signature, created) VALUES "
            f"('p', '{model}', 'm1', '', 3, '{files}', '{{}}', '{moment}')",
            "INSERT INTO artifacts (id, serial, cache_key, build_id, model_id, agrees, manifest, report, created) "
            f"""VALUES ('{bundle}', 'a1', '{sha}', 'b', '{model}', true, '{{"files": {files}}}', '{{}}', '{moment}')""",
        ):
            connection.exec_driver_sql(statement)
    upgrade(database_url)
    with Session(engine) as session:
        uses = {(use.owner, use.sha256, use.kind) for use in session.query(BlobUse)}
        assert uses == {("m1", sha, "model"), ("a1", sha, "artifact")}
        row = session.get_one(Artifact, bundle)
        assert (row.last_used, row.evicted, session.get_one(Blob, sha).unused_since) == (row.created, None, None)
    downgrade(database_url, "0003")
    upgrade(database_url)
    engine.dispose()


def test_the_tables_match_the_schema(database_url):
    upgrade(database_url)
    engine = connect(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()
