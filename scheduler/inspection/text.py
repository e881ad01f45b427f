"""A stranger's text, made fit to be shown."""

from __future__ import annotations


def clean(text: str | bytes, limit: int = 200) -> str:
    """The text without control and other unprintable characters, cut to ``limit`` characters."""
    if isinstance(text, bytes):  # protobuf gives bytes where a string is not UTF-8
        text = text.decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else " " for char in text[: 8 * limit])
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
