"""The timing cache: how long each kernel took for each layer, shared by all builds for one GPU, TensorRT and CUDA.

A warm cache spares most of a build's time. It is a help and never a condition: one that does not fit is dropped with
a note. TensorRT checks its header (version, device properties), and is not told to ignore a mismatch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enginehouse.work import KEPT_BYTES
from workers.backends.kept import Kept
from workers.backends.workpiece import Notes


def label(gpu: str, capability: str, tensorrt: str, cuda: str) -> str:
    """For whom a cache is: two builds share one only where all four are equal."""
    return f"tensorrt timing cache | {gpu} | compute capability {capability} | TensorRT {tensorrt} | CUDA {cuda}"


def attach(config: Any, kept: Kept, notes: Notes) -> Any:
    """Give the configuration (trt.IBuilderConfig) the caches at hand, combined. Returns the trt.ITimingCache in use.

    What TensorRT does not accept is left out and noted; without any, an empty cache is attached to be filled.
    """
    for path in (kept.farm, kept.own):
        content = _read(path)
        if not content:
            continue
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            if path == kept.farm:
                _combine(config, cache, kept.own, notes)
            return cache
        notes.say(f"a timing cache of {len(content)} bytes was dropped: TensorRT does not accept it here")
    cache = config.create_timing_cache(b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        notes.say("the build runs without a timing cache: TensorRT gives none")
        return None
    return cache


def keep(config: Any, kept: Kept, notes: Notes) -> None:
    """Write what the build knows now, if that is more than the farm had and not too much."""
    cache = config.get_timing_cache()
    content = b"" if cache is None else bytes(cache.serialize())
    if len(content) > KEPT_BYTES:
        notes.say(f"the timing cache has {len(content)} bytes and is not kept: the farm takes {KEPT_BYTES}")
    elif content and content != _read(kept.farm):
        kept.new.write_bytes(content)


def _combine(config: Any, cache: Any, path: Path, notes: Notes) -> None:
    content = _read(path)
    if not content:
        return
    other = config.create_timing_cache(content)
    if other is None or not cache.combine(other, ignore_mismatch=False):
        notes.say(f"a timing cache of {len(content)} bytes was dropped: it cannot be combined with the farm's")


def _read(path: Path) -> bytes:
    """The file's bytes; nothing where it is not there or larger than any that is shared."""
    if not path.is_file() or path.stat().st_size > KEPT_BYTES:
        return b""
    return path.read_bytes()
