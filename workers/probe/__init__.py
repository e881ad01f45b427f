"""What a node is: processor, memory, accelerators, and which toolchains import."""

from __future__ import annotations

from workers.probe.node import Found, probe

__all__ = ["Found", "probe"]
