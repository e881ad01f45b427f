"""Fixtures for every test. ``tests/`` itself is on the path: ``from services.process import free_port`` works."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

# With --import-mode=importlib pytest adds nothing to the path.
sys.path.insert(0, str(Path(__file__).parent))

# A shell starts what runs in its background with Ctrl-C ignored, and children inherit that; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["services.redis", "services.postgres", "services.s3"]
