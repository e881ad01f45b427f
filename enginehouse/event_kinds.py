"""The kinds of events, what each tells, and patterns that choose among them."""

from __future__ import annotations

from enginehouse.errors import RequestError

KINDS: dict[str, str] = {
    "job.created": "a job was accepted",
    "job.waiting": "its builds wait again, none is under way",
    "job.running": "the first of its builds is under way",
    "job.cancelling": "somebody cancelled it, and a build is still being stopped",
    "job.succeeded": "every build has succeeded",
    "job.failed": "every build has ended, and one failed",
    "job.cancelled": "every build has ended, and one was cancelled",
    "job.priority": "it has another place in the line",
    "build.created": "a ladder goes on with a further build",
    "build.waiting": "it waits for another attempt",
    "build.dispatched": "it is on its way to a pool",
    "build.running": "a worker has it",
    "build.phase": "it has entered a phase",
    "build.reason": "it waits for another reason than before",
    "build.cancelling": "its worker is stopping it",
    "build.succeeded": "it has its artifact",
    "build.failed": "it has ended without a promoted artifact",
    "build.cancelled": "it was cancelled",
    "build.quarantined": "all its attempts ended by the farm's fault",
    "build.released": "it was let out of quarantine",
    "model.created": "a model came in",
    "model.deleted": "a model was deleted",
    "dataset.created": "a dataset version came in",
    "dataset.deleted": "a dataset version was deleted",
    "artifact.evicted": "an artifact lost its files",
    "worker.online": "a worker signed on",
    "worker.lost": "a worker was silent for too long",
    "worker.gone": "a worker signed off",
    "worker.paused": "a worker takes nothing new",
    "worker.draining": "a worker finishes what it holds",
    "worker.leaving": "a worker finishes what it holds, and ends",
    "worker.drained": "a worker holds nothing any more",
    "worker.resumed": "a worker takes work again",
    "pool.paused": "nothing is dispatched to a pool",
    "pool.resumed": "a pool is dispatched to again",
    "farm.maintenance": "maintenance was switched on or off",
    "webhook.created": "a webhook was made",
    "webhook.changed": "a webhook was changed",
    "webhook.rotated": "a webhook has a new secret",
    "webhook.disabled": "a webhook was disabled, by somebody or for its failures",
    "webhook.enabled": "a webhook was enabled again",
    "webhook.deleted": "a webhook was deleted",
    "webhook.test": "somebody wants to see whether a webhook's receiver answers; goes to that webhook alone",
}
"""Those of jobs, builds, models, datasets, artifacts and webhooks belong to a project; the others are the farm's."""

_FAMILIES = tuple(dict.fromkeys(kind.partition(".")[0] for kind in KINDS))


def checked(patterns: list[str]) -> list[str]:
    """The patterns, each once. Raises RequestError for one that no kind can match.

    A pattern is a kind, ``FAMILY.*`` or ``*``.
    """
    for pattern in patterns:
        family, _, rest = pattern.partition(".")
        if pattern != "*" and pattern not in KINDS and not (rest == "*" and family in _FAMILIES):
            raise RequestError(
                f"'{pattern[:100]}' is no kind of event",
                advice=f"Name kinds such as job.succeeded, '*', or one of {', '.join(f'{f}.*' for f in _FAMILIES)}; "
                "docs/webhooks.md lists them.",
                field="kinds",
            )
    return list(dict.fromkeys(patterns))


def matches(patterns: list[str], kind: str) -> bool:
    """Whether one of the patterns is for this kind."""
    return "*" in patterns or kind in patterns or f"{kind.partition('.')[0]}.*" in patterns
