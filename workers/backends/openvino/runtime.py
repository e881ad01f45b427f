"""``runtime.json``: the settings that an artifact is to be run with, beside it in the bundle.

Its ``config`` can be handed to ``openvino.Core().compile_model("model.xml", device, config)`` as it is.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.targets import Precision
from workers.backends.openvino.options import OpenVinoOptions, Preprocess

FILE = "runtime.json"


class Blob(BaseModel):
    """The compiled model in the bundle, and where alone it may be loaded."""

    model_config = ConfigDict(extra="forbid")

    file: str
    openvino: str = Field(description="OpenVINO's version")
    cpu: str = Field(description="model and instruction sets of the CPU")


class Runtime(BaseModel):
    """How an artifact is run."""

    model_config = ConfigDict(extra="forbid")

    device: str = "CPU"
    config: dict[str, str | int] = Field(description="OpenVINO's properties by their names")
    preprocess: dict[str, Preprocess] = Field(
        default_factory=dict, description="inputs that the artifact makes from something else, which it is fed with"
    )
    blob: Blob | None = None


def runtime(precision: Precision, options: OpenVinoOptions) -> Runtime:
    """The settings of a target.

    The inference precision is always said: on a CPU with AMX an f32 model would run in bf16 by itself.
    """
    config: dict[str, str | int] = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision is Precision.BF16 else "f32",
        "PERFORMANCE_HINT": options.hint.upper(),
    }
    if options.streams is not None:
        config["NUM_STREAMS"] = options.streams
    return Runtime(config=config, preprocess=options.preprocess)


def write(settings: Runtime, folder: Path) -> None:
    """Into the bundle."""
    (folder / FILE).write_text(settings.model_dump_json(indent=1, exclude_defaults=False) + "\n")


def read(folder: Path) -> Runtime:
    """From the bundle."""
    return Runtime.model_validate_json((folder / FILE).read_text())
