"""The resolver: the best proven artifact of a model that can run on a host, or the coded reason why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from enginehouse.bundle import canonical_json
from enginehouse.compatibility import judge as judge_host
from enginehouse.errors import Fault, OutputsDisagree, UnknownBackend
from enginehouse.gates import judge as judge_report
from enginehouse.reasons import Reason
from enginehouse.request import JobRequest
from enginehouse.resolution import PassedOver, Resolution, ResolveRequest
from enginehouse.rules import Finding
from enginehouse.shapes import check_shapes
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.states import JOB_ENDED, JobState
from enginehouse.targets import BACKENDS
from enginehouse.views import JobView
from scheduler import candidates, datasets, jobs, models, pools
from scheduler.buildable import Buildable, buildable
from scheduler.candidates import Owned
from scheduler.farm import Farm
from scheduler.ranking import Candidate, rank
from scheduler.requirements import Given
from scheduler.retention import last_use
from scheduler.shape_fit import shape_refusal
from scheduler.tokens import Principal

JOB_NAME = "resolve"
_MOST_JOBS = 20
_ORDER = list(Reason)


def resolve(farm: Farm, principal: Principal, request: ResolveRequest, request_id: str = "") -> Resolution:
    """The answer; with ``enqueue``, where there is none, a job for what would be one.

    Raises NotFound, InvalidShapes, UnknownBackend, DatasetMismatch for what the request names.
    """
    answer, plan, dataset = _look(farm, principal, request)
    if answer.best is not None:
        last_use.resolved(farm, answer.best.artifact)
    if answer.best is not None or not request.enqueue or not plan.targets:
        return answer
    job = _job(farm, principal, request, plan, dataset, request_id)
    if job.state not in JOB_ENDED:
        targets = ", ".join(str(build.target) for build in job.builds)
        reason = f"{answer.reason}; job {job.id} builds {targets}"
        advice = "Wait for the job, then ask again."
        return answer.model_copy(update={"job": job.id, "pending": True, "reason": reason, "advice": advice})
    again, _, _ = _look(farm, principal, request)  # the farm may have had it already, built by somebody else
    if again.best is not None:
        return again.model_copy(update={"job": job.id})
    advice = f"Job {job.id} was made for this and has ended: 'enginehouse job show {job.id}' tells why."
    return again.model_copy(update={"job": job.id, "advice": advice})


def _look(farm: Farm, principal: Principal, request: ResolveRequest) -> tuple[Resolution, Buildable, str | None]:
    """The answer from what is there, what could be built, and the dataset's id."""
    unknown = sorted(set(request.backends) - set(BACKENDS))
    if unknown:
        raise UnknownBackend(f"'{unknown[0]}' is not one of {', '.join(BACKENDS)}", field="backends")
    with farm.read() as session:
        signature = ModelSignature.model_validate(models.row(session, principal.project, request.model).signature)
        check_shapes(signature.inputs, request.shapes)
        owned, complete = candidates.of_model(session, principal.project, request.model)
        fitting, passed = _sort_out(owned, request, signature)
        ranked = rank(fitting, request.host, request.goal, request.shapes)
        plan, dataset = Buildable((), {}, ()), None
        if not ranked:
            plan, dataset = _plan(session, principal, request, signature)
    answer = Resolution(
        model=request.model,
        host=request.host.hardware.hardware_class,
        goal=request.goal,
        best=ranked[0] if ranked else None,
        others=ranked[1:],
        passed_over=passed,
        complete=complete,
    )
    return (answer if ranked else _explained(answer, plan)), plan, dataset


def _sort_out(
    owned: Sequence[Owned], request: ResolveRequest, signature: ModelSignature
) -> tuple[list[Candidate], list[PassedOver]]:
    fitting, passed = [], []
    for each in owned:
        found, notes = _finding(each, request, signature)
        one = each.candidate
        if found is None or found.reason is None:
            fitting.append(replace(one, notes=notes))
            continue
        target = str(one.manifest.target)
        passed.append(
            PassedOver(artifact=one.artifact, target=target, code=found.reason, reason=found.text, advice=found.advice)
        )
    return fitting, passed


def _finding(owned: Owned, request: ResolveRequest, signature: ModelSignature) -> tuple[Finding | None, list[str]]:
    """The first reason against it, in the order of ``Reason``; else the notes on running it there."""
    one = owned.candidate
    target = one.manifest.target
    if request.backends and target.backend not in request.backends:
        return Finding(Reason.NOT_WANTED, f"the request leaves out {target.backend}"), []
    if request.precisions and target.precision not in request.precisions:
        return Finding(Reason.NOT_WANTED, f"the request leaves out {target.precision}"), []
    if one.report.verification is None:
        advice = "Build it with 'verify'."
        return Finding(Reason.NOT_PROVEN, "it was never compared with the source model", advice), []
    failure = judge_report(request.gates, one.report)
    if failure is not None and failure.code == OutputsDisagree.code:
        return Finding(Reason.DISAGREES, failure.detail, failure.advice), []
    if not owned.promoted:
        advice = "Submit it with gates that it meets, if those were too strict."
        return Finding(Reason.NOT_PROMOTED, "it missed the gates of the jobs that built it", advice), []
    refusal, notes = judge_host(one.made, request.host)
    refusal = refusal or shape_refusal(target, one.recipe, one.report, signature.inputs, request.shapes)
    if refusal is None and failure is not None:
        refusal = Finding(Reason.BOUND_MISSED, failure.detail, "Ask with other bounds, or for other precisions.")
    return refusal, notes


def _explained(answer: Resolution, plan: Buildable) -> Resolution:
    """Why there is none, by the artifact that came nearest, and what to do next."""
    targets = [str(target) for target in plan.targets]
    if answer.passed_over:
        nearest = max(answer.passed_over, key=lambda one: _ORDER.index(one.code))
        code, advice = nearest.code, nearest.advice
        reason = f"of {len(answer.passed_over)} artifacts none can be offered; the nearest is {nearest.target}: "
        reason += nearest.reason
    else:
        code, advice, reason = Reason.NOT_BUILT, "", "no artifact of this model has been built for this project"
    if targets:
        advice += f" Ask with 'enqueue', or submit a job: online workers can build {', '.join(targets)} for this host."
    elif plan.reasons:
        whys = list(dict.fromkeys(plan.reasons.values()))
        advice += f" Nothing can be built for it now: {'; '.join(whys[:4])}."
    told = {"code": code, "reason": reason, "advice": advice.strip(), "buildable": targets}
    return answer.model_copy(update=told)


def _plan(
    session: Session, principal: Principal, request: ResolveRequest, signature: ModelSignature
) -> tuple[Buildable, str | None]:
    dataset = None
    if request.dataset is not None:
        dataset = datasets.find(session, principal.project, request.dataset)
        specs = [TensorSpec.model_validate(spec) for spec in dataset.inputs]
        datasets.check_fits(specs, signature, dataset.name)
    given = Given(signature, dataset.samples if dataset else None, request.shapes)
    announced = [found for pool in pools.ever(session) for found in pool.capabilities]
    online = pools.online(session)
    plan = buildable(request.host, given, online, announced, request.backends, request.precisions)
    return plan, dataset.sha256 if dataset else None


def _job(
    farm: Farm, principal: Principal, request: ResolveRequest, plan: Buildable, dataset: str | None, request_id: str
) -> JobView:
    """The job for these targets: the one that was made before for the same, or a new one.

    It is known by its idempotency key, which names the request and the toolchains that would build it, so that a job
    that failed is not made again before something has changed. One that was cancelled, or failed by the farm's fault,
    is.
    """
    wanted = JobRequest(
        model=request.model,
        targets=list(plan.targets),
        dataset=dataset,
        gates=request.gates,
        shapes=request.shapes,
        name=JOB_NAME,
    )
    toolchains = sorted(
        canonical_json({"toolchain": found.toolchain, "pipeline": pool.pipeline}).decode()
        for pool in plan.pools
        for found in pool.capabilities
        if found.backend in {target.backend for target in plan.targets}
    )
    named = {"request": wanted.model_dump(mode="json"), "toolchains": sorted(set(toolchains))}
    digest = hashlib.sha256(canonical_json(named)).hexdigest()
    for number in range(1, _MOST_JOBS + 1):
        job, new = jobs.submit(farm, principal, wanted, f"{JOB_NAME}-{digest}-{number}", request_id)
        if new or not _worth_another(job):
            break
    return job


def _worth_another(job: JobView) -> bool:
    failures = [build.failure for build in job.builds if build.failure is not None]
    return job.state is JobState.CANCELLED or any(failure.fault is Fault.FARM for failure in failures)
