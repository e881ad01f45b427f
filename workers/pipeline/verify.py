"""Verification: the artifact's outputs against the source model's, on the same inputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from enginehouse.errors import CompileFailed, EnginehouseError, InvalidShapes, ReferenceFailed
from enginehouse.formats import Format
from enginehouse.report import OutputVerification, Verification
from enginehouse.shapes import Profile, has_rank
from enginehouse.targets import Precision
from workers.backends.base import Array, Arrays, first_line
from workers.backends.workpiece import Source
from workers.pipeline.compare import Comparison, Tolerance, arrays_of, tolerance
from workers.pipeline.conditioning import movement
from workers.pipeline.consumers import Use, uses
from workers.pipeline.dataset import MOST_VERIFIED, read_samples
from workers.pipeline.inputs import generate
from workers.pipeline.order import Order
from workers.pipeline.samples import Fed, alike
from workers.pipeline.shapes import Shapes, candidates, unknowns
from workers.pipeline.sides import Side
from workers.pipeline.source import load_tables

_SAMPLES = 4
_SAMPLES_AT_OTHER_SHAPE = 2
_SEARCH_S = 30.0
_SLOW_S = 5.0


@dataclass
class Cases:
    """Inputs and what the source model makes of them. The first case has the shapes that are reported and timed.

    ``fed`` is what the artifact takes: the same arrays, unless it embeds pre-processing.
    """

    origin: str
    seed: int | None
    reference: str
    feeds: list[dict[str, Array]] = field(default_factory=list)
    outputs: list[dict[str, Array]] = field(default_factory=list)
    fed: list[Arrays] = field(default_factory=list)
    worst: int = 0
    """the case that the artifact which was verified last is furthest off in"""

    def add(self, feeds: Arrays, outputs: dict[str, Array], fed: Arrays) -> None:
        """Keep one case."""
        self.feeds.append(dict(feeds))
        self.fed.append(fed)
        self.outputs.append(outputs)

    def keep(self, takes: Callable[[Arrays], bool]) -> None:
        """Drop the cases whose shapes the artifact was not made for. Raises InvalidShapes where none is left."""
        kept = [index for index, fed in enumerate(self.fed) if takes(fed)]
        if not kept:
            raise InvalidShapes(
                f"the artifact was made for other shapes than those of all {len(self.fed)} samples, "
                f"of which the first has {_sizes(self.fed[0])}",
                advice="Give 'shapes' or profiles that the samples have, or leave the shapes dynamic.",
            )
        for name in ("feeds", "outputs", "fed"):
            setattr(self, name, [getattr(self, name)[index] for index in kept])

    @property
    def shapes(self) -> dict[str, list[int]]:
        """The first case's shapes."""
        return {name: list(array.shape) for name, array in self.feeds[0].items()}


def prepare_cases(order: Order, reference: Side, fed: Fed = alike) -> Cases:
    """Inputs from the dataset, else seeded, with the reference's outputs. Raises ReferenceFailed, DatasetMismatch."""
    if order.dataset is not None:
        return _from_dataset(order, reference, fed)
    return _seeded(order, reference, fed)


def used_inputs(source: Source) -> dict[str, Use]:
    """What the graph tells of its integer inputs; nothing for a format whose graph is not read here."""
    return uses(load_tables(source.path)) if source.format is Format.ONNX else {}


def verify(
    order: Order,
    cases: Cases,
    artifact: Side,
    precision: Precision | None = None,
    feeds: Sequence[Arrays] | None = None,
) -> Verification:
    """Run the artifact on every case and compare. Disagreement is reported, not raised.

    ``precision``: whose tolerance counts, where it is not the target's. ``feeds``: what it is fed with, where that is
    not what the artifact is.
    """
    bound = tolerance(precision or order.recipe.target.precision)
    found: dict[str, Comparison] = {}
    for fed, expected in zip(cases.fed if feeds is None else feeds, cases.outputs, strict=True):
        try:
            outputs = arrays_of(artifact.run(fed))
        except Exception as error:  # the source model runs on these: that the artifact does not is a result
            if not found:
                raise CompileFailed(f"the artifact does not run on {_sizes(fed)}: {first_line(error)}") from error
            print(f"the artifact does not run on {_sizes(fed)}: {first_line(error)}", flush=True)  # noqa: T201
            outputs = {}
        for name, true in expected.items():
            comparison = found.setdefault(name, Comparison(name))
            comparison.add(outputs.get(name), true)
    cases.worst = min(found.values(), key=lambda one: one.sample_db).worst_at if found else 0
    outputs_found = _verdicts(order, cases, list(found.values()), bound)
    return Verification(
        reference=cases.reference,
        inputs=cases.origin,
        seed=cases.seed,
        samples=len(cases.feeds),
        shapes=cases.shapes,
        tolerance=bound.as_dict(),
        outputs=outputs_found,
        agrees=all(output.agrees for output in outputs_found),
    )


def _verdicts(order: Order, cases: Cases, compared: list[Comparison], bound: Tolerance) -> list[OutputVerification]:
    """Each output's verdict; beside one that disagrees, how far the source model itself moves."""
    verdicts = [comparison.verdict(bound) for comparison in compared]
    for verdict in verdicts:
        _print(verdict)
    if all(verdict.agrees for verdict in verdicts) or any(one.differs for one in compared):
        return verdicts
    source = Source(order.model, order.signature)
    if source.format is not Format.ONNX:
        return verdicts
    moved = movement(source, order.recipe.target.precision, cases.feeds, cases.outputs, order.work)
    for verdict in verdicts:
        own = moved.get(verdict.name)
        if not verdict.agrees and own is not None and not own.verdict(bound).agrees:
            verdict.note = (
                "the source model is ill-conditioned here: its own output is outside the tolerance "
                f"(moves by {own.max_abs:.3g}, cosine {own.cosine:.6f}) when its weights are rounded"
            )
            print(f"output {verdict.name}: {verdict.note}", flush=True)  # noqa: T201 - standard output is the log
    return verdicts


def _from_dataset(order: Order, reference: Side, fed: Fed) -> Cases:
    assert order.dataset is not None
    cases = Cases(f"dataset {order.dataset_name or order.recipe.dataset}", None, reference.name)
    for index, feeds in enumerate(
        read_samples(order.dataset, order.signature.inputs, order.most_samples or MOST_VERIFIED)
    ):
        try:
            mine, theirs = fed(feeds)
            cases.add(theirs, _outputs(reference, theirs), mine)
        except Exception as error:
            raise ReferenceFailed(f"the source model fails on sample {index}: {first_line(error)}") from error
    return cases


def _seeded(order: Order, reference: Side, fed: Fed) -> Cases:
    recipe, inputs = order.recipe, order.signature.inputs
    given = recipe.shapes or _shapes_of(recipe.profiles, "opt")
    _check_ranks(order, given)
    used = used_inputs(Source(order.model, order.signature))
    cases = Cases("seeded", recipe.seed, reference.name)

    def attempt(shapes: Shapes, sample: int) -> None:
        mine, theirs = fed(generate(inputs, shapes, used, recipe.seed, sample))
        cases.add(theirs, _outputs(reference, theirs), mine)

    begin = time.monotonic()
    refusals: list[str] = []
    tried = 0
    for shapes in candidates(inputs, given):
        tried += 1
        try:
            attempt(shapes, 0)
        except (EnginehouseError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a shape makes the source model raise, the next is tried
            refusals.append(f"{_text(shapes)}: {first_line(error)}")
            if time.monotonic() - begin > _SEARCH_S:
                break
            continue
        break
    if not cases.feeds:
        raise ReferenceFailed(
            f"{reference.name} runs the source model with none of {tried} shapes; the first: {refusals[0]}",
            shapes={spec.name: spec.shape for spec in inputs},
        )
    first = {name: array.shape for name, array in cases.feeds[0].items()}
    begin = time.monotonic()
    for sample in range(1, _SAMPLES):
        try:
            attempt(first, sample)
        except Exception as error:
            if isinstance(error, (EnginehouseError, MemoryError)):
                raise
            raise ReferenceFailed(f"the source model fails on seeded sample {sample}: {first_line(error)}") from error
        if time.monotonic() - begin > _SLOW_S:
            return cases
    if unknowns(inputs):
        _other_shape(order, first, attempt)
    return cases


def _check_ranks(order: Order, given: Shapes) -> None:
    """Raise InvalidShapes where nothing tells an input's rank. An ONNX graph keeps its rank open, so it is tried."""
    unknown = [spec.name for spec in order.signature.inputs if not has_rank(spec) and spec.name not in given]
    if unknown and order.signature.format != Format.ONNX:
        raise InvalidShapes(
            f"the model does not say how many dimensions {', '.join(unknown)} has",
            advice="Give the input's full shape in 'shapes' (--shape NAME=1,3,224,224), or a dataset.",
            inputs=unknown,
        )


def _other_shape(order: Order, first: Shapes, attempt: Callable[[Shapes, int], None]) -> None:
    """Cases at a second shape, where the source model takes one: another size, another batch, or both."""
    inputs, given = order.signature.inputs, order.recipe.shapes
    if order.recipe.profiles and not given:
        bounds = [_shapes_of(order.recipe.profiles, bound) for bound in ("max", "min")]
        others = [shapes for bound in bounds for shapes in islice(candidates(inputs, bound), 1) if shapes != first]
    else:
        tries = [islice(candidates(inputs, given, batch), 4) for batch in (2, 1)]
        others = [shapes for some in tries for shapes in some if shapes != first]
    for shapes in others:
        if _volume(shapes) > 4 * _volume(first):
            continue
        try:
            for sample in range(_SAMPLES_AT_OTHER_SHAPE):
                attempt(shapes, _SAMPLES + sample)
        except Exception as error:
            if isinstance(error, (EnginehouseError, MemoryError)):
                raise
            continue
        print(f"verified at a second shape too: {_text(shapes)}", flush=True)  # noqa: T201
        return


def _shapes_of(profiles: Sequence[Profile], bound: str) -> Shapes:
    """The first profile's smallest, usual or largest shapes; none without profiles."""
    return {name: getattr(one, bound) for name, one in profiles[0].items()} if profiles else {}


def _volume(shapes: Shapes) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _outputs(reference: Side, feeds: Arrays) -> dict[str, Array]:
    outputs = reference.run(feeds)
    arrays = arrays_of(outputs)
    odd = [name for name in outputs if not any(key.split("[")[0] == name.split("[")[0] for key in arrays)]
    if odd:
        raise ReferenceFailed(f"output '{odd[0]}' is not a tensor of numbers", outputs=odd)
    return arrays


def _sizes(feeds: Arrays) -> str:
    return _text({name: array.shape for name, array in feeds.items()})


def _text(shapes: Shapes) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _print(verdict: OutputVerification) -> None:
    text = f"output {verdict.name}: "
    if verdict.max_abs_error is not None:
        text += f"SQNR {verdict.sqnr_db:.1f} dB, max abs error {verdict.max_abs_error:.3g}, cosine {verdict.cosine:.6f}"
    elif verdict.equal_share is not None:
        text += f"equal share {verdict.equal_share:.4f}"
    text += f" ({'agrees' if verdict.agrees else 'DISAGREES: ' + '; '.join(verdict.missed)})"
    print(text, flush=True)  # noqa: T201
