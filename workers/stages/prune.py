"""Pruning: weights set to zero before anything is compiled."""

from __future__ import annotations

from pathlib import Path

from enginehouse.errors import ConversionFailed
from enginehouse.report import PrunedLayer, Pruning
from workers.backends.workpiece import Source
from workers.stages.graph import load_model, save_model
from workers.stages.opset import described
from workers.stages.sparsity import prune_model


def prune(source: Source, pattern: str, share: float, work: Path) -> tuple[Source, Pruning]:
    """The ONNX model with weights pruned, and what was zeroed. ``pattern``: '2:4', or 'magnitude' with its share.

    Raises ConversionFailed where no weight could be pruned.
    """
    model = load_model(source.path)
    zeroed = prune_model(model, source.folder, pattern, share)
    if not zeroed.shares:
        reason = f"{len(zeroed.skipped)} have another shape" if zeroed.skipped else "it has none"
        raise ConversionFailed(
            f"no weight of a convolution or matrix product takes the pattern {pattern}: {reason}",
            advice="Build without the option 'prune'.",
            skipped=zeroed.skipped[:20],
        )
    path = work / "pruned" / "model.onnx"
    save_model(model, source.folder, path)
    print(f"pruned {len(zeroed.shares)} weights, {zeroed.total:.1%} of all are zero", flush=True)  # noqa: T201
    layers = [PrunedLayer(name=name, zeroed=round(part, 6)) for name, part in zeroed.shares.items()]
    report = Pruning(pattern=pattern, zeroed=round(zeroed.total, 6), layers=layers, skipped=zeroed.skipped)
    return Source(path, described(source.signature, model)), report
