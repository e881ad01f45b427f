"""Environment variables that a build may see. Everything else is removed: secrets have many names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOWED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMP|TMPDIR|TERM|LD_LIBRARY_PATH|LD_PRELOAD|VIRTUAL_ENV"
    r"|PYTHON\w*|SSL_CERT_\w+|\w+_NUM_THREADS|ORT_DISABLE_TELEMETRY|CUDA_\w+|NVIDIA_\w+|COVERAGE_\w+"
)


def remove_secrets() -> None:
    """Leave only the variables that a toolchain needs."""
    for name in [name for name in os.environ if not _ALLOWED.fullmatch(name)]:
        del os.environ[name]


@contextmanager
def clean_environment() -> Iterator[None]:
    """Without secrets meanwhile: for starting the process that all builds are forked from."""
    before = dict(os.environ)
    remove_secrets()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
