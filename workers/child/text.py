"""A stranger's bytes as lines of a log: decoded, without control characters, of bounded length."""

from __future__ import annotations

import codecs
from collections.abc import Callable

MOST_CHARACTERS = 8192
_TAIL_LINES = 20
_STRIPPED = {code: None for code in (*range(32), *range(127, 160)) if chr(code) != "\t"}


class LineCutter:
    """Bytes in, lines out. A carriage return ends a line too, as progress bars write it."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._last: list[str] = []

    @property
    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._last)

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        text = self._rest + self._decoder.decode(data)
        *lines, self._rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            self._give(line)
        while len(self._rest) > MOST_CHARACTERS:
            self._give(self._rest[:MOST_CHARACTERS])
            self._rest = self._rest[MOST_CHARACTERS:]

    def close(self) -> None:
        """Give what has no line end."""
        if self._rest:
            self._give(self._rest)
            self._rest = ""

    def _give(self, line: str) -> None:
        clean = line.translate(_STRIPPED).rstrip()
        if clean:
            for start in range(0, len(clean), MOST_CHARACTERS):
                piece = clean[start : start + MOST_CHARACTERS]
                self._last = [*self._last[-_TAIL_LINES + 1 :], piece]
                self._line(piece)
