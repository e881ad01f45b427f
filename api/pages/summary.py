"""A job in a sentence or two: what a person wants to know first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from api.pages.words import ms, plural, times
from enginehouse.ladder import described
from enginehouse.states import BuildState, JobState
from enginehouse.views import BuildView, JobView
from scheduler.results import Result

_UNDER_WAY = (BuildState.DISPATCHED, BuildState.RUNNING, BuildState.CANCELLING)


def summary(job: JobView, results: Mapping[str, Result]) -> str:
    """What became of it, or why it is not done yet."""
    deciding = [build for build in job.builds if build.replaced_by is None]
    if job.state is JobState.SUCCEEDED:
        return _succeeded(deciding, results)
    if job.state is JobState.FAILED:
        return _failed(deciding)
    if job.state is JobState.CANCELLED:
        done = sum(build.state is BuildState.SUCCEEDED for build in deciding)
        return f"It was cancelled; {plural(done, 'build')} had succeeded before." if done else "It was cancelled."
    if job.state is JobState.CANCELLING:
        return "It is being cancelled: workers stop what runs."
    return " ".join(_open(deciding))


def _succeeded(builds: Sequence[BuildView], results: Mapping[str, Result]) -> str:
    said = "The build succeeded." if len(builds) == 1 else f"All {len(builds)} builds succeeded."
    timed = [
        (result.p50_ms, build, result)
        for build in builds
        if build.artifact and (result := results.get(build.artifact)) and result.p50_ms is not None
    ]
    if not timed:
        return said
    p50, build, best = min(timed, key=lambda one: one[0])
    fast = f"{ms(p50)} a run" + (f", {times(best.speedup)} as fast as the source model" if best.speedup else "")
    return f"{said} {'It takes' if len(builds) == 1 else f'The fastest is {described(build.target)}:'} {fast}."


def _failed(builds: Sequence[BuildView]) -> str:
    failed = [build for build in builds if build.state is BuildState.FAILED]
    said = "The build failed" if len(builds) == 1 else f"{len(failed)} of {plural(len(builds), 'build')} failed"
    titles = Counter(build.failure.title for build in failed if build.failure)
    why = "; ".join(title for title, _ in titles.most_common(3))
    return f"{said}: {why}." if why else f"{said}."


def _open(builds: Sequence[BuildView]) -> list[str]:
    ended = [build for build in builds if build.ended is not None]
    running = [build for build in builds if build.state in _UNDER_WAY]
    waiting = [build for build in builds if build.state is BuildState.WAITING]
    said = []
    if ended:
        said.append(f"{len(ended)} of {plural(len(builds), 'build')} {'has' if len(ended) == 1 else 'have'} ended.")
    for build in running[:3]:
        doing = f" ({build.phase})" if build.phase else ""
        said.append(f"{described(build.target)} is {build.state}{doing}.")
    if len(running) > 3:
        said.append(f"{len(running) - 3} more are under way.")
    if waiting:
        who = described(waiting[0].target) if len(waiting) == 1 else plural(len(waiting), "build")
        reasons = list(dict.fromkeys(build.reason for build in waiting if build.reason))
        why = "; ".join(reasons[:2]) + ("; and other reasons" if len(reasons) > 2 else "")
        said.append(f"{who} {'waits' if len(waiting) == 1 else 'wait'}: {why}." if why else f"{who} waiting.")
    return said
