"""``enginehouse submit``: push, submit, wait, show, download."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from enginehouse.cli import parsing
from enginehouse.cli.common import farm, json_option, model_id, quiet_option

if TYPE_CHECKING:
    from enginehouse.client import Client
    from enginehouse.request import JobRequest, Recipe
    from enginehouse.views import JobView

_PLACEHOLDER = "0" * 64
_LONGEST_NAME = 150


@click.command()
@click.argument("model", required=False)
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="BACKEND:PRECISION[@TERM+...]",
    help="What to build, for example openvino:fp16, or auto for the best there is. A TERM is a hardware tag or, in "
    "quotes, a constraint such as 'cpu.cores>=8'. Repeat it for more.",
)
@click.option(
    "--request",
    "again",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The request.json of a bundle: build the same again. It takes the place of MODEL, -t and all that they need.",
)
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="BACKEND:PRECISION",
    help="What to measure every build against besides its source model, for example openvino:fp32. Repeat it for more.",
)
@click.option("--dataset", metavar="DATASET", help="Samples to calibrate and verify with: id, NAME or NAME@VERSION.")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="[TARGET.]NAME=VALUE",
    help="A bound that every build must meet, or one target's (openvino:int8.min_speedup=1.2): max_abs_error, "
    "max_rel_error, min_cosine, min_sqnr_db, min_top1_agreement, max_metric_loss, max_relative_metric_loss (both also "
    "METRIC:VALUE), min_speedup (also BASELINE:VALUE, for example openvino:fp32:1.2), max_p50_ms, max_p90_ms, "
    "max_p99_ms, min_throughput, max_memory_mb, max_bytes.",
)
@click.option(
    "--ladder",
    is_flag=True,
    help="Where a build is not good enough, go on with higher precisions: int8, mixed, 16 bits, fp32.",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="INPUT=N,N,...",
    help="The shape to feed an input with dynamic dimensions.",
)
@click.option(
    "--profile",
    "profile",
    multiple=True,
    metavar="INPUT=MIN:OPT:MAX",
    help="Smallest, usual and largest shape of an input, each N,N,... Repeat it for each dynamic input.",
)
@click.option(
    "--observed-shapes",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="JSON list of {input: shape} seen in production; a profile is derived from it.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="[BACKEND.]KEY=VALUE",
    help="A backend's option, for one backend's targets or for all; VALUE may be JSON.",
)
@click.option(
    "--priority",
    type=click.Choice(["low", "normal", "high"]),
    default="normal",
    show_default=True,
    help="Higher classes are dispatched first.",
)
@click.option("--time-limit", metavar="TIME", help="Time that a build may take: 90, 10m, 2h.  [default: 1h]")
@click.option("--memory-limit", metavar="MEMORY", help="Memory that a build may take: 4096 (MiB), 4G.  [default: 8G]")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Compare with the source model.")
@click.option("--benchmark/--no-benchmark", default=True, show_default=True, help="Time it beside its baseline.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the generated inputs, where there is no dataset.",
)
@click.option(
    "--metric",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE.py",
    help="Python with metric(outputs, labels), taken of source model and artifact on the dataset; named as the file.",
)
@click.option("--metric-lower-is-better", is_flag=True, help="Less is better in the job's own metric.")
@click.option("--name", metavar="TEXT", help="The job's name, for people; by default the model file's.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that belongs to MODEL (external data, a .caffemodel), where it is not found by itself. "
    "Repeat it for more.",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the end and show the results.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Download each artifact to a folder in DIR.",
)
@json_option
@quiet_option
def submit(
    model: str | None,
    targets: tuple[str, ...],
    again: Path | None,
    baselines: tuple[str, ...],
    dataset: str | None,
    gates: tuple[str, ...],
    ladder: bool,
    shapes: tuple[str, ...],
    profile: tuple[str, ...],
    observed_shapes: Path | None,
    options: tuple[str, ...],
    priority: str,
    time_limit: str | None,
    memory_limit: str | None,
    verify: bool,
    benchmark: bool,
    seed: int,
    metric: Path | None,
    metric_lower_is_better: bool,
    name: str | None,
    files: tuple[Path, ...],
    wait: bool,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Build MODEL for one or more targets.

    MODEL is a file (or the folder of a TensorFlow SavedModel), which is pushed first, or the id of a model (its first
    digits will do).
    Without --wait the job's id is printed; with it, a table: a row per build.
    """
    if out is not None and not wait:
        raise click.UsageError("--out needs the end of the job: leave out --no-wait.")
    from enginehouse.saved_model_folder import name_of

    recipe = _recipe(again) if again is not None else None
    if recipe is None and not targets:
        raise click.UsageError("Name what to build: -t BACKEND:PRECISION, or --request FILE.")
    model = model or (recipe.model if recipe else None)
    if model is None:
        raise click.UsageError("Name the MODEL to build: a file, a folder or a model's id.")
    path = Path(model)
    is_file = path.exists()
    if not is_file and not re.fullmatch(r"[0-9a-f]{6,64}", model):
        raise click.UsageError(f"'{model}' is neither a file, nor a folder, nor a model's id.")
    called = name if name is not None else (name_of(path) if is_file else "")
    # All that can be wrong with the request is found before a model is pushed.
    limits = {}
    if time_limit is not None:
        limits["time_s"] = parsing.seconds(time_limit)
    if memory_limit is not None:
        limits["memory_mb"] = parsing.mebibytes(memory_limit)
    common: dict[str, Any] = {"limits": limits, "priority": priority, "ladder": ladder, "name": called[:200]}
    if recipe is not None:
        request = _again(recipe, gates, **common)
    else:
        request = _request(
            targets,
            options,
            gates,
            shapes=parsing.shapes(shapes),
            profiles=[parsing.profile(profile)] if profile else [],
            observed_shapes=parsing.observed(observed_shapes) if observed_shapes else [],
            baselines=baselines,
            dataset=dataset,
            verify=verify,
            benchmark=benchmark,
            seed=seed,
            metric=parsing.metric(metric, metric_lower_is_better) if metric else None,
            **common,
        )
    with farm() as client:
        found = _push(client, path, files, quiet) if is_file else model_id(client, model)
        if recipe is not None and found != recipe.model:
            raise click.UsageError(f"'{model}' is not the model of {again}, which is {recipe.model}.")
        job = client.jobs.submit(request.model_copy(update={"model": found}))
        _finish(client, job, wait, out, as_json, quiet)


def _finish(client: Client, job: JobView, wait: bool, out: Path | None, as_json: bool, quiet: bool) -> None:
    from enginehouse.cli.output import note, print_json
    from enginehouse.cli.results import print_failures, print_results
    from enginehouse.cli.waiting import status_of, wait_for

    count = len(job.builds)
    note(f"job {job.id}: {count} build{'s' if count != 1 else ''}, {job.state}", quiet)
    if not wait:
        print_json(job) if as_json else click.echo(job.id)
        return
    ended = wait_for(client, job, quiet)
    if out is not None:
        _download(client, ended, out, quiet)
    if as_json:
        print_json(ended)
        print_failures(ended)
    else:
        print_results(client, ended)
    raise click.exceptions.Exit(status_of(ended))


def _request(targets: Sequence[str], options: Sequence[str], gates: Sequence[str], **fields: Any) -> JobRequest:
    from enginehouse.client import job_request
    from enginehouse.errors import RequestError
    from enginehouse.gates import Gates
    from enginehouse.targets import parse_target

    try:
        parsed = [parse_target(target) for target in targets]
        by_backend = parsing.options(options, list(dict.fromkeys(target.backend for target in parsed)))
        return job_request(
            model=_PLACEHOLDER,
            targets=[target.model_copy(update={"options": by_backend[target.backend]}) for target in parsed],
            **parsing.all_gates(gates, list(Gates.model_fields)),
            **fields,
        )
    except RequestError as error:
        raise click.UsageError(f"{error.code}: {error.detail}. {error.hint}") from None


def _recipe(path: Path) -> Recipe:
    """The request.json of a bundle."""
    from pydantic import ValidationError

    from enginehouse.request import Recipe

    try:
        return Recipe.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise click.BadParameter(f"{path} cannot be read as a bundle's request.json: {error}") from None


def _again(recipe: Recipe, gates: Sequence[str], **fields: Any) -> JobRequest:
    """The recipe's build, under gates and limits that may be new. What it says itself cannot be said beside it."""
    from enginehouse.client import job_request
    from enginehouse.errors import RequestError
    from enginehouse.gates import Gates
    from enginehouse.request import fields_of

    ctx = click.get_current_context()
    for name in ("targets", "options", "observed_shapes", "profile", *type(recipe).model_fields):
        if name != "model" and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--request says '{name}' itself; leave the option out.")
    try:
        return job_request(**fields_of(recipe), **parsing.all_gates(gates, list(Gates.model_fields)), **fields)
    except RequestError as error:
        raise click.UsageError(f"{error.code}: {error.detail}. {error.hint}") from None


def _push(client: Client, path: Path, files: tuple[Path, ...], quiet: bool) -> str:
    from enginehouse.cli.progress import transfer

    with transfer(path.name, quiet) as progress:
        return client.models.push(path, files=files or None, progress=progress).id


def _download(client: Client, job: JobView, out: Path, quiet: bool) -> None:
    """The artifact of every build that succeeded, to a folder named after its target."""
    from enginehouse.cli.output import note
    from enginehouse.cli.progress import transfer

    taken: set[str] = set()
    for build in job.builds:
        if build.artifact is None or build.state != "succeeded":
            continue  # what missed a gate is kept as evidence: 'artifact get' fetches it
        plain = name = re.sub(r"[^a-z0-9_.-]+", "-", str(build.target))[:_LONGEST_NAME].rstrip("-.")
        number = 1
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name)
        with transfer(name, quiet) as progress:
            client.artifacts.download(build.artifact, out / name, progress)
        note(f"{out / name}", quiet)
