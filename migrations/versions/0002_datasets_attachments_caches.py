"""What a dataset is and how its values lie; what a failed attempt left; caches of toolchains.

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("datasets", "kind", sa.String(length=16), "'npz'"),
    ("datasets", "statistics", sa.JSON(none_as_null=True), "'{}'"),
    ("attempts", "attachments", sa.JSON(none_as_null=True), "'{}'"),
)


def upgrade() -> None:
    """Apply. Rows that are there get a value by a default, which is then taken away again."""
    for table, name, kind, value in _COLUMNS:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column(name, kind, nullable=False, server_default=sa.text(value)))
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.alter_column(name, server_default=None)
    op.create_table(
        "toolchain_caches",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=300), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_toolchain_caches_sha256_blobs")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_toolchain_caches")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("toolchain_caches")
    for table, name, _, _ in reversed(_COLUMNS):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column(name)
