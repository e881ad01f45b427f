"""Resource limits of the calling process and of all that it starts."""

from __future__ import annotations

import resource


def limit(memory_bytes: int | None = None, file_bytes: int | None = None, open_files: int | None = None) -> None:
    """Lower the soft and hard limits. Nothing dumps core.

    ``memory_bytes`` bounds private writable memory (RLIMIT_DATA), per process: allocation fails, nothing is killed.
    RLIMIT_AS would count the address space that allocators and drivers only reserve.
    """
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: open_files,
    }
    for which, bound in bounds.items():
        if bound is None:
            continue
        _, hard = resource.getrlimit(which)
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(which, (value, value))
