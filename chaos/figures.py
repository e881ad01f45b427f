"""The figures of a run: what was promised and kept, and how soon the farm was itself again after each fault."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chaos.faults import Happened
from chaos.ledger import Findings
from chaos.stack import Stack
from enginehouse.states import AttemptState, Origin
from scheduler.registry.tables import Attempt, Build


@dataclass
class Recovered:
    """One kind of fault: seconds from its begin until the part was back, and from then to the first build's end."""

    name: str
    count: int = 0
    away_s: list[float] = field(default_factory=list)
    first_end_s: list[float] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass
class Figures:
    """Everything that a run has shown."""

    seed: int
    shape: str
    settings: dict[str, str]
    seconds: float
    findings: Findings
    refused: dict[str, int]
    longest_acceptance_s: float
    noticed_s: dict[str, list[float]]
    """seconds until the attempt of a lost worker was taken back, by the way in which it was lost"""
    recovered: list[Recovered]
    lacking: dict[str, str]

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def table(self) -> str:
        """As Markdown."""
        found = self.findings
        rows: list[tuple[str, object]] = [
            ("submissions accepted (2xx)", found.accepted),
            ("of them ended", found.ended),
            ("**lost**", len(found.lost)),
            ("**published or built twice**", len(found.twice)),
            ("**in a wrong state**", len(found.wrong)),
            ("accepted submissions sent again, answered with the same job", found.resent),
            ("builds", found.builds),
            ("their artifacts", _counts(found.origins)),
            ("artifacts read back, run and compared", found.artifacts_read),
            ("builds given up after every attempt was lost", len(found.given_up)),
            ("attempts", _counts(found.attempts)),
            ("submissions refused, and sent again until accepted", _counts(self.refused) or 0),
            ("longest time to an acceptance", f"{self.longest_acceptance_s:.1f} s"),
            ("longest time from acceptance to the job's end", f"{found.longest_wait_s:.1f} s"),
            *((f"lost worker noticed: {how}", _spread(times)) for how, times in self.noticed_s.items()),
            ("faults", sum(one.count for one in self.recovered)),
            ("the whole run", f"{self.seconds:.0f} s"),
        ]
        lines = ["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows), ""]
        lines += [
            "| fault | times | back after | first build ended, from then |",
            "|---|---:|---:|---:|",
            *(
                f"| {one.name} | {one.count} | {_spread(one.away_s)} | {_spread(one.first_end_s)} |"
                for one in self.recovered
                if one.count
            ),
        ]
        skipped = [f"- {one.name}: {why}" for one in self.recovered for why in dict.fromkeys(one.skipped)]
        return "\n".join([*lines, *(["", "Not run:", "", *skipped] if skipped else [])]) + "\n"


def noticed(stack: Stack, happened: Sequence[Happened]) -> dict[str, list[float]]:
    """How long it took until the attempts of workers that were lost were taken back."""
    times: dict[str, list[float]] = defaultdict(list)
    with Session(stack.engine) as session:
        for fault in happened:
            for build, number in fault.held:
                attempt = session.get(Attempt, (build, number))
                if attempt is not None and attempt.state == AttemptState.LOST and attempt.ended is not None:
                    times[fault.name].append(round(attempt.ended.timestamp() - fault.began, 2))
    return dict(times)


def first_end(stack: Stack, after: float) -> float | None:
    """Seconds from a moment until the first build that a worker made had ended; None: none has yet."""
    from datetime import UTC, datetime

    since = datetime.fromtimestamp(after, UTC)
    with Session(stack.engine) as session:
        built = select(func.min(Build.ended)).where(Build.ended > since, Build.origin == Origin.BUILT.value)
        ended = session.scalar(built)
    return None if ended is None else round(ended.timestamp() - after, 2)


def recovered(stack: Stack, happened: Iterable[Happened]) -> list[Recovered]:
    """What each kind of fault did, in the order of their names."""
    kinds: dict[str, Recovered] = {}
    for fault in happened:
        kind = kinds.setdefault(fault.name, Recovered(fault.name))
        if fault.skipped:
            kind.skipped.append(fault.skipped)
            continue
        kind.count += 1
        kind.away_s.append(round(fault.back - fault.began, 2))
        seconds = first_end(stack, fault.back)
        if seconds is not None:
            kind.first_end_s.append(seconds)
    return sorted(kinds.values(), key=lambda kind: kind.name)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _spread(times: Sequence[float]) -> str:
    if not times:
        return "-"
    if len(times) == 1:
        return f"{times[0]:.1f} s"
    return f"{median(times):.1f} s, at most {max(times):.1f} s"
