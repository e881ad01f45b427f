"""What the farm learns of a stranger's model or dataset, read in a confined child process and never run."""

from __future__ import annotations

from scheduler.inspection.process import inspect_dataset, inspect_model

__all__ = ["inspect_dataset", "inspect_model"]
