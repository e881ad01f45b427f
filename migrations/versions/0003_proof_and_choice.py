"""Signed provenance of artifacts, and the public keys that it was signed with; gates per target, and ladders.

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Artifacts that are there stay unsigned: nobody can answer for them any more."""
    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("envelope", sa.Text(), nullable=True))
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("pem", sa.Text(), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
    )
    _add_ladders()


def downgrade() -> None:
    """Take back."""
    _drop_ladders()
    op.drop_table("signing_keys")
    op.drop_column("artifacts", "envelope")  # not in a batch, which would drop a table that builds refer to


_COLUMNS = (
    ("jobs", "ladder", sa.Boolean(), sa.false()),
    ("builds", "rung", sa.Integer(), sa.text("0")),
    ("builds", "gates", sa.JSON(none_as_null=True), sa.text("'{}'")),
    ("builds", "note", sa.Text(), sa.text("''")),
)


def _add_ladders() -> None:
    """Builds that are there begin a ladder of one rung, under the gates of their job.

    No table is made anew: SQLite could not drop one that others refer to. So the defaults stay.
    """
    for table, name, kind, value in _COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=value))
    op.add_column("builds", sa.Column("ladder_of", sa.String(length=40), nullable=True))
    op.create_index(op.f("ix_builds_ladder_of_rung"), "builds", ["ladder_of", "rung"], unique=True)
    op.execute("UPDATE builds SET gates = (SELECT jobs.gates FROM jobs WHERE jobs.id = builds.job_id)")


def _drop_ladders() -> None:
    op.drop_index(op.f("ix_builds_ladder_of_rung"), table_name="builds")
    op.drop_column("builds", "ladder_of")
    for table, name, _, _ in reversed(_COLUMNS):
        op.drop_column(table, name)
