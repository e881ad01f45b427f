"""``python -m workers``: a worker until SIGTERM or SIGINT. Imports inside main: no child pays for them."""

from __future__ import annotations


def main() -> int:
    """Run a worker. Returns the exit status."""
    from workers.serve import serve

    return serve()


if __name__ == "__main__":
    raise SystemExit(main())
