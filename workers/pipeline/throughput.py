"""Throughput: inferences a second when several run side by side, and in batches.

Each stream is a thread that infers without a pause. It counts what it ended and the time that this took, so that a slow
inference at the end is neither lost nor cut: the rate is the sum of the streams' own rates.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from enginehouse.errors import EnginehouseError
from enginehouse.report import Throughput
from workers.backends.base import Arrays, Session, Setting, first_line
from workers.backends.options import Options
from workers.pipeline.sides import Side

_LONGEST_S = 1.0
_SHARE = 0.25
"""of the time of a benchmark, for one row"""
_WARM = 2


def throughputs(
    sides: Mapping[str, Side], feeds: Sequence[Arrays], options: Options, threads: int, benchmark_s: float
) -> list[Throughput]:
    """A row for each side, number of streams and batch that it can do; what it cannot do is told in the log."""
    seconds = min(_LONGEST_S, _SHARE * benchmark_s)
    own = getattr(options, "streams", None)
    rows = []
    for (which, side), fed in zip(sides.items(), feeds, strict=True):
        for streams in options.throughput_streams or sorted({1, own or threads}):
            try:
                sessions = side_by_side(side, streams, threads, reload=own is not None or streams > 1)
                for batch in (options.throughput_batches or (batch_of(fed),)) if sessions else ():
                    batched = of_batch(fed, batch)
                    if sessions[0].takes(batched):
                        count, rate = rated([_infer(session, batched) for session in sessions], seconds)
                        row = {"side": which, "streams": streams, "threads": threads, "batch": batch}
                        rows.append(Throughput.model_validate({**row, "count": count, "per_s": round(rate, 3)}))
            except (EnginehouseError, ValueError, RuntimeError, MemoryError) as error:
                _say(f"no throughput of the {which} with {streams} streams: {first_line(error)}")
    return rows


def side_by_side(side: Side, streams: int, threads: int, *, reload: bool) -> list[Session]:
    """As many sessions that may run at the same time; none where the side's runtime cannot.

    ``reload``: load the model anew for so many streams; else the side's own session is the first.
    """
    if streams > 1 and side.session.beside() is None:
        return []
    first = side.again(Setting(threads, streams=streams)) if reload and side.again else side.session
    found = [first, *(first.beside() for _ in range(streams - 1))]
    return [session for session in found if session is not None]


def rated(
    infers: Sequence[Callable[[], object]], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> tuple[int, float]:
    """All of them again and again, each in a thread of its own: inferences that ended, and their rate a second.

    Raises what an inference raises.
    """
    counts, spent = [0] * len(infers), [0.0] * len(infers)
    failed: list[BaseException] = []
    ready = threading.Barrier(len(infers))

    def stream(index: int) -> None:
        try:
            for _ in range(_WARM):
                infers[index]()
            ready.wait()
            begin = now = clock()
            while now < begin + seconds or counts[index] == 0:
                infers[index]()
                counts[index] += 1
                now = clock()
            spent[index] = now - begin
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            failed.append(error)
            ready.abort()

    threads = [threading.Thread(target=stream, args=(index,)) for index in range(len(infers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise next((one for one in failed if not isinstance(one, threading.BrokenBarrierError)), failed[0])
    return sum(counts), sum(count / took for count, took in zip(counts, spent, strict=True))


def batch_of(feeds: Arrays) -> int:
    """The first dimension that all inputs have in common; 1 where they have none."""
    firsts = {array.shape[0] if array.ndim else 1 for array in feeds.values()}
    return firsts.pop() if len(firsts) == 1 else 1


def of_batch(feeds: Arrays, batch: int) -> Arrays:
    """The same items over and over, until a batch is full. ValueError where the inputs have no common batch."""
    if batch == batch_of(feeds):
        return feeds
    firsts = {array.shape[0] if array.ndim else 0 for array in feeds.values()}
    if len(firsts) != 1 or 0 in firsts:
        raise ValueError(f"the inputs' first dimensions are {sorted(firsts)}, which is no common batch")
    return {name: np.resize(array, (batch, *array.shape[1:])) for name, array in feeds.items()}


def _infer(session: Session, feeds: Arrays) -> Callable[[], object]:
    return lambda: session.run(feeds)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - standard output is the build's log
