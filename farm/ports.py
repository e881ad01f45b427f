"""Loopback ports."""

from __future__ import annotations

import socket

from farm.errors import PortBusy

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def chosen_port(wanted: int) -> int:
    """The wanted port if it is free; any free one for 0. Raises PortBusy."""
    if wanted == 0:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except PermissionError:
            raise PortBusy(f"Port {wanted} may not be used by this user. Choose one above 1023 with --port.") from None
        except OSError:
            raise PortBusy(
                f"Port {wanted} is in use on {LOOPBACK}. Choose another with --port N (--port 0 takes any free one), "
                "or stop what listens there."
            ) from None
    return wanted
