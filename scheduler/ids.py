"""Identifiers: a prefix, 48 bits of time, 80 random bits. Sorting by id is sorting by age."""

from __future__ import annotations

import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_lock = threading.Lock()
_last = 0


def new(prefix: str) -> str:
    """A new id, for example ``job_01k9x…``. Ids made by one process ascend strictly."""
    global _last
    with _lock:
        _last = max(_last + 1, (time.time_ns() // 1_000_000 << 80) | secrets.randbits(72))
        value = _last
    digits = "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
    return f"{prefix}_{digits}"


def is_of(identifier: str | None, prefix: str) -> bool:
    """Whether an id was made with this prefix."""
    return identifier is not None and identifier.startswith(f"{prefix}_")
