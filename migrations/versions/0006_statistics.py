"""Indexes for what the farm did within a time window, and for what a dataset was used for.

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_OVER = sa.text("ended IS NOT NULL")
_ENDED = {
    "builds": ["ended", "project_id", "state", "origin"],
    "attempts": ["ended", "worker_id", "started"],
}


def upgrade() -> None:
    """Apply."""
    for table, columns in _ENDED.items():
        op.create_index(f"ix_{table}_ended", table, columns, postgresql_where=_OVER, sqlite_where=_OVER)
    op.create_index(op.f("ix_jobs_project_id_dataset_id_id"), "jobs", ["project_id", "dataset_id", "id"])


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("ix_jobs_project_id_dataset_id_id"), table_name="jobs")
    for table in _ENDED:
        op.drop_index(f"ix_{table}_ended", table_name=table)
