"""What the command line's exit status says. Published: docs/cli.md and ``enginehouse --help`` list them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """One number per kind of ending."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    DENIED = 5
    UNREACHABLE = 6
    CANCELLED = 7
    TIMEOUT = 8
    LOCAL = 9
    INTERRUPTED = 130
    PIPE_CLOSED = 141

    @property
    def meaning(self) -> str:
        """In words."""
        return MEANINGS[self]


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done; every build that was waited for succeeded",
    ExitCode.FAILED: "a build or job failed, doctor found something not in order, or a bundle is not what was signed",
    ExitCode.USAGE: "the command line or the configuration is wrong",
    ExitCode.REFUSED: "the farm refused the request",
    ExitCode.NOT_FOUND: "there is no such thing",
    ExitCode.DENIED: "no token, an unknown one, or one that does not allow this",
    ExitCode.UNREACHABLE: "the farm cannot be reached, is not ready, or made a mistake",
    ExitCode.CANCELLED: "the job was cancelled",
    ExitCode.TIMEOUT: "the job had not ended in time; it goes on",
    ExitCode.LOCAL: "a local file cannot be read or written",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); a submitted job goes on",
    ExitCode.PIPE_CLOSED: "the reader of the output went away",
}
