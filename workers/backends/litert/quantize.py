"""int8 on the .tflite file by the AI Edge Quantizer: static, dynamic-range, or of the weights alone."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import numpy as np

from enginehouse.errors import CalibrationFailed, InvalidOption
from enginehouse.quantization import Quantization
from workers.backends.base import Array, Arrays, first_line
from workers.backends.litert import record
from workers.backends.litert.flatbuffer import Model, kind, operator, packed, text, unpacked
from workers.backends.litert.lineage import Lineage
from workers.backends.workpiece import Workpiece

METHODS = {"minmax": "MinMax", "average": "moving average of MinMax"}

_MOST_EXCLUDED = 64
_TROUBLE = re.compile(r"with op\s+id (\d+)")
_ALL = ".*"
_LAYOUT = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS")
_ENDS = ("LOGISTIC", "SOFTMAX", "TANH")
"""Their int8 results have a step of 1/256 whatever the numbers: at a float output they stay in float."""


def quantize(piece: Workpiece, data: bytes) -> tuple[bytes, list[str]]:
    """The quantised file, and the results' names of the operators that stayed in float for accuracy.

    Raises CalibrationFailed, DatasetRequired, DatasetTooSmall.
    """
    how = piece.options.quantization or Quantization.STATIC
    static = how == Quantization.STATIC
    feeds: Sequence[Arrays] = ()
    if static:
        generated = piece.options.calibration == "generated"
        piece.notes.calibration, feeds = piece.samples.calibration(piece.options.calibration_samples, generated)
        piece.notes.calibration.method = f"{METHODS[piece.options.ranges]}, weights per channel (ai-edge-quantizer)"
    model = unpacked(data)
    if static:
        data = _sized(model, feeds[0])
    recipe = [*_recipe(model, how, piece.options.io == "int8"), *_wanted(piece, model)]
    kept = [scope for scope in _scopes(model) if _is_kept(recipe, scope)] if static else []
    samples = _Samples(model, feeds) if static else None
    made, more = _quantized(data, model, recipe, samples, piece.threads, piece.options.ranges)
    record.note(piece.work, recipe=[*recipe, *[_left(_exactly(scope)) for scope in more]])
    return made, [scope.rstrip(";") for scope in (*kept, *more)]


def _sized(model: Model, feeds: Arrays) -> bytes:
    """The file with open dimensions set to a sample's sizes at first: the calibrator allocates before it is fed."""
    for port in model.signatureDefs[0].inputs:
        tensor = model.subgraphs[0].tensors[port.tensorIndex]
        if tensor.shapeSignature is not None and -1 in list(tensor.shapeSignature):
            tensor.shape = list(feeds[text(port.name)].shape)
    return packed(model)


def _recipe(model: Model, how: Quantization, integers: bool) -> list[dict[str, Any]]:
    from ai_edge_quantizer import recipe

    if how == Quantization.DYNAMIC:
        return list(recipe.dynamic_wi8_afp32())
    if how == Quantization.WEIGHTS:
        return list(recipe.weight_only_wi8_afp32())
    found = list(recipe.static_wi8_ai8())
    if not integers:
        found += [_left(_ALL, "INPUT"), _left(_ALL, "OUTPUT")]
        found += [_left(_exactly(scope)) for scope in _ends(model)]
    found += [_left(_exactly(scope)) for scope in _branches(model)]
    return found


def _wanted(piece: Workpiece, model: Model) -> list[dict[str, Any]]:
    """The rules of keep_float. Raises InvalidOption for a name that no operator stands for."""
    lineage, names = Lineage(piece), set(piece.options.keep_float)
    if not names:
        return []
    behind = {scope: set(lineage.names(scope.rstrip(";").split(";"))) for scope in _scopes(model)}
    unknown = sorted(names - set().union(*behind.values()))
    if unknown:
        raise InvalidOption(
            f"no operator of the .tflite file stands for a node '{unknown[0]}'",
            advice="The layer report of an fp32 build lists the names of the source's nodes.",
            option="keep_float",
            nodes=unknown[:20],
        )
    return [_left(_exactly(scope)) for scope, nodes in behind.items() if nodes & names]


def _left(regex: str, kinds: str = "*") -> dict[str, Any]:
    """A rule that leaves operators in float."""
    return {"regex": regex, "operation": kinds, "algorithm_key": "no_quantize", "op_config": {}}


def _exactly(scope: str) -> str:
    return f"^{re.escape(scope)}$"


def _scope(graph: Any, op: Any) -> str:
    """What the quantizer's rules go by: the names of the operator's results."""
    return "".join(f"{text(graph.tensors[index].name)};" for index in op.outputs)


def _scopes(model: Model) -> list[str]:
    return [_scope(graph, op) for graph in model.subgraphs for op in graph.operators]


def _ends(model: Model) -> Iterator[str]:
    """The operators of these kinds that make the model's outputs, and what only lays them out anew."""
    graph = model.subgraphs[0]
    makers = {index: op for op in graph.operators for index in op.outputs}
    for output in graph.outputs:
        scopes: list[str] = []
        op = makers.get(output)
        while op is not None and operator(model, op) in _LAYOUT:
            scopes.append(_scope(graph, op))
            op = makers.get(op.inputs[0])
        if op is not None and operator(model, op) in _ENDS:
            yield from (*scopes, _scope(graph, op))


def _branches(model: Model) -> Iterator[str]:
    """What lies in branches and loops: no sample is sure to come by."""
    for graph in model.subgraphs[1:]:
        for op in graph.operators:
            yield _scope(graph, op)


def _is_kept(recipe: list[dict[str, Any]], scope: str) -> bool:
    return any(rule["algorithm_key"] == "no_quantize" and rule["operation"] == "*" and re.search(rule["regex"], scope)
               for rule in recipe)  # fmt: skip


def _quantized(
    data: bytes, model: Model, recipe: list[dict[str, Any]], samples: _Samples | None, threads: int, update: str
) -> tuple[bytes, list[str]]:
    """The file, and what had to stay in float because its numbers cannot be said in integers."""
    from ai_edge_quantizer import quantizer

    kept: list[str] = []
    ranges = None
    key = text(model.signatureDefs[0].signatureKey)
    while True:
        worker = quantizer.Quantizer(bytearray(data), recipe)
        try:
            with _quiet():
                if samples is not None and ranges is None:
                    ranges = _ranges(data, recipe, {key: samples}, threads, update)
                if ranges == {}:  # no operator that the quantizer knows
                    return data, kept
                made = worker.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
            return bytes(made.quantized_model), kept
        except (ValueError, RuntimeError) as error:
            trouble = _TROUBLE.search(str(error))
            scope = _of_number(model, int(trouble[1])) if trouble else None
            if scope is None or scope in kept or len(kept) >= _MOST_EXCLUDED:
                raise CalibrationFailed(f"the quantizer: {first_line(error)}") from error
            kept.append(scope)
            recipe = [*recipe, _left(_exactly(scope))]


def _ranges(data: bytes, recipe: list[dict[str, Any]], samples: Any, threads: int, update: str) -> Any:
    """Tensor name to range."""
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(recipe)
    widened = {"minmax": qsv_utils.min_max_update, "average": qsv_utils.moving_average_update}[update]
    found = calibrator.Calibrator(bytearray(data), num_threads=threads, qsv_update_func=widened)
    found.calibrate(samples, rules)
    return found.get_model_qsvs()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars, and without the warning that keeping all tensors takes memory: they are looked at."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _of_number(model: Model, number: int) -> str | None:
    operators = model.subgraphs[0].operators
    return _scope(model.subgraphs[0], operators[number]) if number < len(operators) else None


class _Samples(Sequence[dict[str, Array]]):
    """Calibration samples as the model's own inputs take them, read one at a time."""

    def __init__(self, model: Model, feeds: Sequence[Arrays]) -> None:
        signature = model.signatureDefs[0]
        tensors = model.subgraphs[0].tensors
        self._kinds = {text(one.name): kind(tensors[one.tensorIndex]).lower() for one in signature.inputs}
        self._feeds = feeds

    def __len__(self) -> int:
        return len(self._feeds)

    def __getitem__(self, index: Any) -> Any:
        feeds = self._feeds[index]
        return {name: np.asarray(feeds[name]).astype(found) for name, found in self._kinds.items()}
