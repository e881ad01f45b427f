"""From a source model to a bundle: import, prepare, compile, verify, benchmark, explain, package.

Runs in the build's child process. Importing this imports no toolchain.
"""

from __future__ import annotations

from workers.pipeline.order import Order
from workers.pipeline.run import Result, run

PIPELINE_VERSION = "2"
"""Part of the cache key. Raise it with every change that can change an artifact's bytes or a report's numbers."""

__all__ = ["PIPELINE_VERSION", "Order", "Result", "run"]
