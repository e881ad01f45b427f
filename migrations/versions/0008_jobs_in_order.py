"""A project's jobs are read newest first without sorting all of them.

Revision: 0008, after 0007
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(op.f("ix_jobs_project_id_id"), "jobs", ["project_id", "id"])


def downgrade() -> None:
    """Take back."""
    op.drop_index(op.f("ix_jobs_project_id_id"), table_name="jobs")
