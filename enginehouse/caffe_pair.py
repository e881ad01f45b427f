"""A Caffe model is two files: a network's text (.prototxt) and its weights (.caffemodel). Which two, here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from enginehouse.errors import ExternalDataMissing, RequestError

TEXT, WEIGHTS = ".prototxt", ".caffemodel"
SUFFIXES = (TEXT, WEIGHTS)
_FOR_INFERENCE = "deploy"
"""What the network for inference is called by custom, beside those for training and the solver's settings."""


def caffe_pair(model: Path, named: Sequence[Path | str] | None = None) -> tuple[Path, Path]:
    """The .prototxt and the .caffemodel, of which ``model`` is one. ``named``: the other, where the caller names it.

    Else the other lies beside it: the one of the same stem, 'deploy.prototxt', or the only one that there is.
    Raises ExternalDataMissing, RequestError.
    """
    wanted = WEIGHTS if model.suffix.lower() == TEXT else TEXT
    other = _named(model, wanted, named) if named else _found(model, wanted)
    return (model, other) if wanted == WEIGHTS else (other, model)


def _named(model: Path, wanted: str, named: Sequence[Path | str]) -> Path:
    files = [Path(file) for file in named]
    if len(files) != 1 or files[0].suffix.lower() != wanted:
        raise RequestError(f"with {model.name} goes one {wanted} file, not {', '.join(file.name for file in files)}")
    file = files[0] if files[0].is_absolute() or files[0].exists() else model.parent / files[0]
    if not file.is_file():
        raise ExternalDataMissing(f"{file} is not there", file=str(file))
    return file


def _found(model: Path, wanted: str) -> Path:
    beside = sorted(file for file in model.parent.iterdir() if file.suffix.lower() == wanted and file.is_file())
    for stem in (model.stem, *([_FOR_INFERENCE] if wanted == TEXT else [])):
        same = [file for file in beside if file.stem == stem]
        if same:
            return same[0]
    if len(beside) == 1:
        return beside[0]
    have = f"{len(beside)} lie beside it ({', '.join(file.name for file in beside[:5])})" if beside else "none is there"
    raise ExternalDataMissing(
        f"{model.name} needs its {wanted} beside it, and {have}",
        advice=f"Name it: --file NAME{wanted} (files=[...] in Python), or call it {model.stem}{wanted}.",
        file=model.name,
    )
