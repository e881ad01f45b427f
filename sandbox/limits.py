"""Resource limits of the calling process and of all that it starts."""

from __future__ import annotations

import resource


def limit(
    memory_bytes: int | None = None,
    file_bytes: int | None = None,
    open_files: int | None = None,
    cpu_s: int | None = None,
) -> None:
    """Lower the soft and hard limits. Nothing dumps core.

    ``memory_bytes`` bounds private writable memory (RLIMIT_DATA), per process: allocation fails, nothing is killed.
    RLIMIT_AS would count the address space that allocators and drivers only reserve. ``cpu_s`` bounds the
    processor time of each process: it ends by SIGXCPU, however busy the machine is.
    """
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_CPU: cpu_s,
    }
    for which, bound in bounds.items():
        if bound is None:
            continue
        _, hard = resource.getrlimit(which)
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        # At the soft limit of processor time there is a signal that tells why; at the hard one SIGKILL.
        spare = 1 if which == resource.RLIMIT_CPU and value != hard else 0
        resource.setrlimit(which, (value, value + spare))
