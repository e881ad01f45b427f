"""What travels over the broker: hints with ids, and the Celery settings that both ends share.

Nearly all of Celery is turned off, since SQL is the truth (docs/adr/0001-sql-is-the-truth.md).
"""

from __future__ import annotations

from typing import Any

BUILD = "enginehouse.build"
"""To a pool's queue: ``{"build": id, "attempt": number}``."""

CELERY: dict[str, Any] = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "task_ignore_result": True,
    "task_acks_late": False,
    "worker_prefetch_multiplier": 1,
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "enable_utc": True,
}
