"""The light models of the installed onnx package: nine classic networks with synthetic weights (Apache-2.0)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from zoo.fetch import ZooError

_PREFIX = "light_"


def light_models() -> list[str]:
    """The names that ``light_model`` takes, for example ``resnet50``. Empty when onnx is not installed."""
    folder = _folder()
    return sorted(path.stem.removeprefix(_PREFIX) for path in folder.glob("light_*.onnx")) if folder else []


def light_model(name: str) -> Path:
    """The path of a light model inside the installed onnx package. Raises ZooError."""
    folder = _folder()
    if folder is None:
        raise ZooError("the light models are part of the onnx package, which is not installed")
    path = folder / f"{_PREFIX}{name.removeprefix(_PREFIX)}.onnx"
    if not path.is_file():
        raise ZooError(f"onnx has no light model {name!r}; it has {', '.join(light_models())}")
    return path


def _folder() -> Path | None:
    found = importlib.util.find_spec("onnx")  # looked up, not imported: importing it takes half a second
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "backend" / "test" / "data" / "light"
