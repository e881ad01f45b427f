"""Shares and quotas of projects, modes of workers and pools, quarantine, pins, and what the farm is switched to.

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_TIME = sa.DateTime(timezone=True)

# No table is made anew: SQLite could not drop one that others refer to. So the defaults stay.
_COLUMNS = (
    ("projects", "weight", sa.Double(), sa.text("1.0")),
    ("projects", "most_running", sa.Integer(), None),
    ("projects", "most_waiting", sa.Integer(), None),
    ("projects", "most_bytes", sa.BigInteger(), None),
    ("projects", "start", sa.Double(), sa.text("0.0")),
    ("projects", "finish", sa.Double(), sa.text("0.0")),
    ("models", "shared", sa.Boolean(), sa.false()),
    ("jobs", "batch_id", sa.String(length=40), None),
    ("builds", "demand", sa.Text(), sa.text("''")),
    ("builds", "due", _TIME, sa.text("'1970-01-01 00:00:00+00:00'")),
    ("builds", "avoid", _JSON, sa.text("'[]'")),
    ("attempts", "meant_for", sa.String(length=40), None),
    ("attempts", "charged_s", sa.Double(), sa.text("0.0")),
    ("artifacts", "last_used", _TIME, None),
    ("artifacts", "evicted", _TIME, None),
    ("blobs", "unused_since", _TIME, None),
    ("pools", "facts", _JSON, sa.text("'{}'")),
    ("pools", "mode", sa.String(length=16), sa.text("'open'")),
    ("pools", "mode_reason", sa.String(length=200), sa.text("''")),
    ("workers", "mode", sa.String(length=16), sa.text("'open'")),
    ("workers", "mode_reason", sa.String(length=200), sa.text("''")),
    ("workers", "files", _JSON, sa.text("'[]'")),
)


def upgrade() -> None:
    """Apply."""
    for table, name, kind, value in _COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=value is None, server_default=value))
    op.create_index(op.f("ix_artifacts_last_used"), "artifacts", ["last_used"])
    _form_a_line()
    _enter_uses()
    op.create_table(
        "pins",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_pins_project_id_projects")),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name=op.f("fk_pins_artifact_id_artifacts")),
        sa.PrimaryKeyConstraint("project_id", "artifact_id", name=op.f("pk_pins")),
    )
    op.create_index(op.f("ix_pins_artifact_id"), "pins", ["artifact_id"])
    op.create_table(
        "quarantines",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("request_key", sa.String(length=64), nullable=False),
        sa.Column("build_id", sa.String(length=40), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_quarantines_build_id_builds")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_quarantines_project_id_projects")),
        sa.PrimaryKeyConstraint("project_id", "request_key", name=op.f("pk_quarantines")),
    )
    op.create_index(op.f("ix_quarantines_build_id"), "quarantines", ["build_id"])
    op.create_index(op.f("ix_jobs_batch_id"), "jobs", ["batch_id"])
    op.create_table(
        "batches",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_batches_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("project_id", "idempotency_key", name=op.f("uq_batches_project_id_idempotency_key")),
    )
    op.create_index(op.f("ix_batches_project_id_id"), "batches", ["project_id", "id"])
    op.create_table(
        "demands",
        sa.Column("demand", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("demand", name=op.f("pk_demands")),
    )
    op.create_table(
        "switches",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_switches")),
    )


def downgrade() -> None:
    """Take back."""
    for table in ("switches", "demands", "batches", "quarantines", "pins", "deleted_datasets", "blob_uses"):
        op.drop_table(table)
    for name, table in _INDEXES:
        op.drop_index(op.f(name), table_name=table)
    op.drop_index(op.f("ix_jobs_batch_id"), table_name="jobs")
    op.drop_index(op.f("ix_artifacts_last_used"), table_name="artifacts")
    _break_up_the_line()
    for table, name, _, _ in reversed(_COLUMNS):
        op.drop_column(table, name)


_INDEXES = (
    ("ix_builds_results", "builds"),
    ("ix_datasets_sha256", "datasets"),
    ("ix_holdings_sha256", "holdings"),
    ("ix_blobs_unused_since", "blobs"),
)


def _enter_uses() -> None:
    """Which bytes what is there consists of, so that collection need not read manifests."""
    op.create_index(op.f("ix_blobs_unused_since"), "blobs", ["unused_since"])
    op.create_index(op.f("ix_holdings_sha256"), "holdings", ["sha256"])
    op.create_index(op.f("ix_datasets_sha256"), "datasets", ["sha256"])
    where = sa.text("artifact_id IS NOT NULL")
    op.create_index(
        "ix_builds_results", "builds", ["project_id", "artifact_id"], postgresql_where=where, sqlite_where=where
    )
    op.create_table(
        "deleted_datasets",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("deleted", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_deleted_datasets_project_id_projects")),
        sa.PrimaryKeyConstraint("project_id", "name", "version", name=op.f("pk_deleted_datasets")),
    )
    uses = op.create_table(
        "blob_uses",
        sa.Column("owner", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_blob_uses_sha256_blobs")),
        sa.PrimaryKeyConstraint("owner", "sha256", name=op.f("pk_blob_uses")),
    )
    op.create_index(op.f("ix_blob_uses_sha256"), "blob_uses", ["sha256"])
    op.execute("UPDATE artifacts SET last_used = created")
    connection = op.get_bind()
    models = sa.table("models", sa.column("serial"), sa.column("files", _JSON))
    artifacts = sa.table("artifacts", sa.column("serial"), sa.column("manifest", _JSON))
    rows: dict[tuple[str, str], str] = {}
    for serial, files in connection.execute(sa.select(models.c.serial, models.c.files)):
        rows.update({(serial, file["sha256"]): "model" for file in files})
    for serial, manifest in connection.execute(sa.select(artifacts.c.serial, artifacts.c.manifest)):
        rows.update({(serial, file["sha256"]): "artifact" for file in manifest["files"]})
    if rows:
        op.bulk_insert(uses, [{"owner": owner, "sha256": sha, "kind": kind} for (owner, sha), kind in rows.items()])


_IN_LINE = sa.text("state = 'waiting' AND joined_to IS NULL")
_BUILT = sa.text("origin = 'built'")


def _form_a_line() -> None:
    """Builds that wait stand in the order in which they came: what the classes were is of no use to them any more."""
    op.execute("UPDATE builds SET due = created")
    connection = op.get_bind()
    builds = sa.table("builds", *(sa.column(name) for name in ("id", "state", "project_id", "model_id", "demand")),
                      sa.column("recipe", _JSON))  # fmt: skip
    models = sa.table("models", sa.column("id"), sa.column("project_id"), sa.column("signature", _JSON))
    theirs = (models.c.id == builds.c.model_id) & (models.c.project_id == builds.c.project_id)
    query = sa.select(builds.c.id, builds.c.recipe, models.c.signature).join(models, theirs)
    for build, recipe, signature in connection.execute(query.where(builds.c.state == "waiting")).all():
        target = recipe["target"]
        tags = "+".join(sorted(set(target.get("requires", []))))
        demand = f"{signature['format']} {target['backend']}:{target['precision']}" + (f"@{tags}" if tags else "")
        connection.execute(builds.update().where(builds.c.id == build).values(demand=demand))
    op.drop_index(op.f("ix_builds_state_rank_id"), table_name="builds")
    op.drop_column("builds", "rank")
    op.create_index(op.f("ix_builds_state_id"), "builds", ["state", "id"])
    line = ["project_id", "demand", "due", "id"]
    op.create_index("ix_builds_line", "builds", line, postgresql_where=_IN_LINE, sqlite_where=_IN_LINE)
    op.create_index("ix_builds_history", "builds", ["demand", "id"], postgresql_where=_BUILT, sqlite_where=_BUILT)


def _break_up_the_line() -> None:
    op.drop_index("ix_builds_history", table_name="builds")
    op.drop_index("ix_builds_line", table_name="builds")
    op.drop_index(op.f("ix_builds_state_id"), table_name="builds")
    op.add_column("builds", sa.Column("rank", sa.Integer(), nullable=False, server_default=sa.text("1")))
    op.create_index(op.f("ix_builds_state_rank_id"), "builds", ["state", "rank", "id"])
