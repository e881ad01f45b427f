"""``python -m farm``: the embedded farm until Ctrl-C. ``enginehouse up`` and ``make up`` run this."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType

import click

from farm.embedded import EmbeddedFarm
from farm.errors import StartError
from farm.home import DEFAULT_PORT

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stop(Exception):
    """Ctrl-C, SIGTERM or a closed terminal."""


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
    _deaf()
    raise _Stop


def _listen() -> None:
    for each in _STOPPING:
        if signal.getsignal(each) is not signal.SIG_IGN:  # nohup
            signal.signal(each, _stop)


def _deaf() -> None:
    """Stopping takes seconds; a second Ctrl-C must not cut it short."""
    for each in _STOPPING:
        signal.signal(each, signal.SIG_IGN)


@click.command(help="Run the embedded farm on this machine until Ctrl-C.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="folder of the farm [$ENGINEHOUSE_HOME, ~/.enginehouse]",
)
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one")
@click.option("--workers", type=click.IntRange(0, 64), default=1, show_default=True, help="worker processes")
@click.option("--slots", type=click.IntRange(1, 256), default=1, show_default=True, help="builds at a time, per worker")
def main(home: Path | None, port: int, workers: int, slots: int) -> None:
    """Start, print the address, wait, stop."""
    begun = time.monotonic()
    farm = EmbeddedFarm(home, port=port, workers=workers, slots=slots, say=_say)
    try:
        _listen()
        farm.start()
        _say(f"The farm is at {farm.url} (started in {time.monotonic() - begun:.1f} s). Ctrl-C stops it.")
        _say(f"Its home is {farm.home.path}, its logs are in {farm.home.folder('logs')}.")
        while True:
            signal.pause()
    except _Stop:
        _say("Stopping.")
    except StartError as error:
        raise click.ClickException(str(error)) from None
    finally:
        _deaf()
        farm.stop()
    _say("Stopped.")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(prog_name="python -m farm")
