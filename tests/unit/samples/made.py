"""Datasets as people make them, and as nobody should: zips of arrays and pictures, byte by byte."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array))
    return buffer.getvalue()


def zipped(files: dict[str, bytes], packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def picture(
    height: int = 6, width: int = 8, seed: int = 0, form: str = "PNG", mode: str = "RGB", **how: Any
) -> tuple[bytes, np.ndarray]:
    """A random picture: its file, and its pixels."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    image = Image.frombytes(mode, (width, height), pixels.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue(), pixels


def recipe(**fields: Any) -> bytes:
    return json.dumps({"input": "x", **fields}).encode()


def pictures(count: int = 3, more: dict[str, bytes] | None = None, **fields: Any) -> dict[str, bytes]:
    files = {f"{number}.png": picture(seed=number)[0] for number in range(count)}
    return {"recipe.json": recipe(**fields), **files, **(more or {})}


def png_bomb(side: int = 30_000, rows: int = 64) -> bytes:
    """A PNG that says it has side x side black pixels, with so many rows of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))

    packing = zlib.compressobj(1)
    row = bytes(1 + 3 * side)
    packed = b"".join(packing.compress(row) for _ in range(rows)) + packing.flush()
    head = struct.pack(">2L5B", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def write(folder: Path, content: bytes, name: str = "data") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
