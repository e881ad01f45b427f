"""What a target of this backend may ask for."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from workers.backends.options import Calibrated

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Size = Annotated[int, Field(ge=1, le=16384)]


LEAST_GROUP = 8
"""Weights that share a scale where a layer's size divides by nothing larger."""

MOST_COMPARED = 64
"""Samples that agreement is taken over: the float model's outputs for all of them are kept in memory."""

TOP_1 = "top-1 accuracy"
"""The measure where the dataset has labels."""

FIXES = {"enable": "enable", "first_layer": "first_layer_only", "disable": "disable"}
"""Our words for the overflow fix to NNCF's."""

_NO_OVERFLOW = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


class IgnoredScopes(BaseModel):
    """Nodes that stay in float while the rest is quantised."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: tuple[str, ...] = Field(default=(), description="names of the source model's nodes")
    types: tuple[str, ...] = Field(default=(), description="OpenVINO's operation types: Convolution, MatMul, Add …")
    patterns: tuple[str, ...] = Field(default=(), description="regular expressions that node names begin with")

    @field_validator("patterns")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
        return patterns


class Preprocess(BaseModel):
    """How the artifact makes one input of the model from what it is fed with.

    In this order: axes, colours, resizing, ``(value - mean) / scale``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    element_type: Literal["u8", "u16", "f32"] = Field(default="u8", description="element type of what is fed")
    layout: str = Field(default="nhwc", pattern="^[a-z]{1,8}$", description="order of the axes of what is fed")
    model_layout: str = Field(default="nchw", pattern="^[a-z]{1,8}$", description="order of the model input's own axes")
    color: Literal["keep", "bgr-to-rgb", "rgb-to-bgr"] = Field(
        default="keep", description="order of the channels in what is fed, and in what the model takes"
    )
    resize: Literal["none", "linear", "cubic", "nearest"] = Field(
        default="none", description="bring pictures of any size to the size that the model takes, which must be fixed"
    )
    size: tuple[_Size, _Size] | None = Field(
        default=None, description="height and width of the pictures before the resizing; without it any are taken"
    )
    mean: tuple[_Number, ...] = Field(
        default=(), description="subtracted: one number, or one per channel in the order that the model takes"
    )
    scale: tuple[_Number, ...] = Field(default=(), description="divided by, after the mean is subtracted")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        axes = self.layout
        if len(set(axes)) != len(axes) or sorted(axes) != sorted(self.model_layout):
            raise ValueError(
                f"layout '{axes}' and model_layout '{self.model_layout}' must have the same axes, each once"
            )
        if 0 in self.scale:
            raise ValueError("scale divides, so it cannot be 0")
        if (self.color != "keep" or len(self.mean) > 1 or len(self.scale) > 1) and "c" not in axes:
            raise ValueError(f"colours and numbers per channel need an axis 'c'; the layout is '{axes}'")
        if self.resize != "none" and sorted(axes) != sorted("nchw"):
            raise ValueError(f"a resize needs the axes n, c, h and w; the layout is '{axes}'")
        if self.size is not None and self.resize == "none":
            raise ValueError("size is the size before a resizing, and resize is 'none'")
        return self


class OpenVinoOptions(Calibrated):
    """How the model is compressed, what the artifact takes, and how it is run."""

    hint: Literal["latency", "throughput"] = Field(default="latency", description="PERFORMANCE_HINT")
    streams: int | None = Field(
        default=None, ge=1, le=256, description="NUM_STREAMS: inferences that run side by side; default: by the hint"
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="INFERENCE_NUM_THREADS, also the baseline's; default: physical cores"
    )
    quantization: Literal["static", "accuracy", "weights"] | None = Field(
        default=None,
        description="int8: static (default), accuracy (static within max_drop), weights (computed in float); "
        "int4: weights",
    )
    preset: Literal["performance", "mixed"] | None = Field(
        default=None,
        description="int8: performance has symmetric activations, mixed asymmetric ones; default: performance, "
        "for a transformer mixed",
    )
    model_type: Literal["transformer"] | None = Field(
        default=None, description="int8: quantise with what is known of transformers"
    )
    fast_bias_correction: bool = Field(
        default=True, description="int8: false corrects biases more accurately, and slower, from the samples"
    )
    overflow_fix: Literal["auto", "enable", "first_layer", "disable"] = Field(
        default="auto",
        description="int8: half the range for weights, against overflow on x86 CPUs without VNNI; auto: where needed",
    )
    ignored_scopes: IgnoredScopes = Field(
        default=IgnoredScopes(), description="int8 and int4: nodes that stay in float, by name, type or pattern"
    )
    max_drop: float = Field(
        default=0.01, ge=0, le=1, description="quantization=accuracy: the loss of the metric that is accepted"
    )
    drop_type: Literal["absolute", "relative"] = Field(
        default="absolute", description="quantization=accuracy: what max_drop is a share of: 1, or the float metric"
    )
    weight_mode: Literal["asymmetric", "symmetric"] = Field(
        default="asymmetric", description="quantization=weights: with a zero point, or without"
    )
    group_size: Literal[-1, 8, 16, 32, 64, 128, 256] = Field(
        default=128,
        description="int4: weights that share a scale, halved where a layer's size does not divide; -1: a channel",
    )
    ratio: float = Field(
        default=1.0, ge=0, le=1, description="int4: share of the weights that become int4, the others become int8"
    )
    all_layers: bool = Field(
        default=False, description="int4: embeddings and the last matrix product too, which else become int8"
    )
    data_aware: bool = Field(
        default=False, description="int4: choose and scale with the calibration samples; else from the weights alone"
    )
    reshape: Literal["dynamic", "static", "bounded"] = Field(
        default="dynamic",
        description="dynamic: as the source; static: the job's shapes, else the first profile's usual ones, else the "
        "samples'; bounded: from the smallest to the largest of all profiles",
    )
    preprocess: dict[str, Preprocess] = Field(
        default_factory=dict, description="model input to the pre-processing that the artifact does itself"
    )
    compiled_blob: bool = Field(
        default=False,
        description="also the compiled model, which loads faster, for the worker's own hardware and OpenVINO version",
    )


def ignored(options: OpenVinoOptions) -> IgnoredScopes:
    """All that stays in float while the rest is quantised: ``keep_float`` is the short way to say names."""
    scopes = options.ignored_scopes
    return scopes.model_copy(update={"names": tuple(dict.fromkeys((*scopes.names, *options.keep_float)))})


def overflow_fix(options: OpenVinoOptions) -> str:
    """'auto' made out: x86 CPUs without VNNI and AMX add products of eight bits up in sixteen, which overflow."""
    if options.overflow_fix != "auto":
        return options.overflow_fix
    from workers.probe.cpu import read_cpu

    cpu = read_cpu()
    return "enable" if cpu.machine == "x86_64" and not _NO_OVERFLOW & set(cpu.isa) else "disable"
