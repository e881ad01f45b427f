"""What was built against what was asked for. Pure: facts read from an engine in, differences in words out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from enginehouse.shapes import Profile, has_rank
from enginehouse.signature import TensorSpec
from enginehouse.targets import Precision
from workers.backends.tensorrt.inspector import EngineLayer
from workers.backends.tensorrt.plan import Plan

_COMPUTED = frozenset({"fp32", "tf32", "fp16", "bf16", "fp8", "int8", "int4", "fp4"})
_TELLING = frozenset({"tf32", "fp16", "bf16", "fp8", "fp4"})
"""Types that mean a precision wherever they are seen; int8 tensors may be plain integers, int8 weights are not."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine. ``dtype``: NumPy's name; -1 is a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class EngineFacts:
    """Everything about an engine that was asked for in some form."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    profiles: tuple[Profile, ...]
    hardware_compatibility: str
    refittable: bool
    aux_streams: int
    detailed: bool
    layers: tuple[EngineLayer, ...] = field(repr=False)


@dataclass(frozen=True)
class Asked:
    """What the target and the job say. ``kept_float``: nodes that a stage left in float32, or was told to.

    ``source_types``: types that the source model itself computes in. ``unused``: inputs that no node reads; TensorRT
    may leave them out.
    """

    precision: Precision
    plan: Plan
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    profiles: tuple[Profile, ...]
    kept_float: frozenset[str] = frozenset()
    source_types: frozenset[str] = frozenset({"fp32"})
    float_type: str = "fp32"
    unused: frozenset[str] = frozenset()


def differences(asked: Asked, built: EngineFacts) -> list[str]:
    """Each difference as a sentence; empty: the engine is what was asked for."""
    found = _tensors("input", asked.inputs, built.inputs, asked.unused)
    found += _tensors("output", asked.outputs, built.outputs)
    gone = asked.unused - {one.name for one in built.inputs}
    wanted = tuple({name: one for name, one in each.items() if name not in gone} for each in asked.profiles)
    if any(wanted) and wanted != built.profiles:
        found.append(f"the engine's optimisation profiles are {built.profiles}, asked for were {wanted}")
    plan = asked.plan
    if built.hardware_compatibility != plan.hardware_compatibility:
        found.append(f"its hardware compatibility is {built.hardware_compatibility}, not {plan.hardware_compatibility}")
    if plan.refittable and not built.refittable:
        found.append("its weights cannot be refitted")
    if plan.aux_streams is not None and built.aux_streams > plan.aux_streams:
        found.append(f"it uses {built.aux_streams} auxiliary streams, at most {plan.aux_streams} were asked for")
    if not built.detailed:
        found.append("it was not built with detailed layer information")
    return [*found, *precision_differences(asked, built.layers)]


def precision_differences(asked: Asked, layers: Sequence[EngineLayer]) -> list[str]:
    """Whether layers compute in the precision that was asked for.

    A strongly typed network is computed in its own types, so these checks find what goes wrong before: a graph that
    was not typed as asked, or a builder that chose by itself. Quantised operators may run in float where TensorRT has
    no kernel for their shape: of int8 and fp8 at least one layer must be there, and how many is told.
    """
    if not layers:
        return ["it tells no layers, so its precision cannot be checked"]
    precision = asked.precision
    if precision in (Precision.FP32, Precision.TF32):
        allowed = asked.source_types | {"fp32"} | ({"tf32"} if precision is Precision.TF32 else set())
        return _unwanted(layers, allowed)
    wanted = str(precision)
    if precision in (Precision.INT8, Precision.FP8):
        allowed = asked.source_types | {"fp32", wanted, asked.float_type}
        missing = [] if any(wanted in layer.types for layer in layers) else [f"none of its layers computes in {wanted}"]
        return [*missing, *_unwanted(layers, allowed)]
    if not any(wanted in layer.types for layer in layers):
        return [f"none of its layers computes in {wanted}"]
    wrong = _COMPUTED - {wanted}
    other = [layer.name for layer in layers if layer.weights in wrong and not _may_be_float(asked, layer)]
    if other:
        return [f"{len(other)} layers have weights that are not {wanted}: {_some(other)}"]
    return _unwanted(layers, asked.source_types | {"fp32", wanted})


def summary(layers: Sequence[EngineLayer]) -> str:
    """How many layers compute in what, in a sentence."""
    counts = Counter(layer.precision for layer in layers if layer.precision in _COMPUTED)
    told = ", ".join(f"{count} in {name}" for name, count in counts.most_common())
    return f"of {len(layers)} executed layers {told or 'none tells its precision'}"


def _may_be_float(asked: Asked, layer: EngineLayer) -> bool:
    """A constant, a layer that was to stay in float, or one that does not tell what it stands for while some were."""
    kept = asked.kept_float
    return layer.type == "Constant" or bool(kept.intersection(layer.nodes)) or (bool(kept) and not layer.nodes)


def _unwanted(layers: Sequence[EngineLayer], allowed: Collection[str]) -> list[str]:
    by_type: dict[str, list[str]] = {}
    for layer in layers:
        used = (layer.types & _TELLING) | ({layer.weights} & _COMPUTED)
        for one in used - set(allowed):
            by_type.setdefault(one, []).append(layer.name)
    return [
        f"{len(names)} layers use {one}, which was not asked for: {_some(names)}"
        for one, names in sorted(by_type.items())
    ]


def _tensors(
    what: str, asked: Sequence[TensorSpec], built: Sequence[Tensor], unused: Collection[str] = ()
) -> list[str]:
    wanted, have = {spec.name: spec for spec in asked}, {one.name: one for one in built}
    found = [f"it has no {what} '{name}'" for name in wanted if name not in have and name not in unused]
    found += [f"it has an {what} '{name}' that the model has not" for name in have if name not in wanted]
    for name in wanted.keys() & have.keys():
        spec, tensor = wanted[name], have[name]
        if spec.dtype != tensor.dtype:
            found.append(f"its {what} '{name}' is {tensor.dtype}, not {spec.dtype}")
        if not _fits(spec, tensor.shape):
            found.append(f"its {what} '{name}' is {list(tensor.shape)}, not {spec.shape}")
    return sorted(found)


def _fits(spec: TensorSpec, shape: tuple[int, ...]) -> bool:
    if not has_rank(spec):
        return True
    return len(spec.shape) == len(shape) and all(
        not isinstance(dim, int) or dim < 1 or size in (-1, dim) for dim, size in zip(spec.shape, shape, strict=True)
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
