"""Which artifacts run on which hosts: the one table of rules, a row for each rule of a backend, with its source.

A rule looks at what an artifact was made of and at a host's fingerprint. It refuses, with a code, or adds a note, or
has nothing to say. What nobody promises is refused: an artifact is proven where it was made, and a rule carries that
proof no further than the vendor does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from enginehouse import rules
from enginehouse.fingerprint import Fingerprint
from enginehouse.reasons import Reason
from enginehouse.rules import Finding, Made


@dataclass(frozen=True)
class Rule:
    """One row. ``says`` and ``source`` are for people; docs/resolve.md shows them."""

    name: str
    says: str
    source: str
    check: Callable[[Made, Fingerprint], Finding | None]


def judge(made: Made, host: Fingerprint) -> tuple[Finding | None, list[str]]:
    """The first refusal, if any, and the notes of the rules before it."""
    notes: list[str] = []
    if made.backend not in RULES:
        return Finding(Reason.RUNTIME_MISSING, f"nothing is known about where {made.backend} runs"), notes
    for rule in RULES[made.backend]:
        found = rule.check(made, host)
        if found is not None and found.reason is not None:
            return found, notes
        if found is not None:
            notes.append(found.text)
    return None, notes


_ORT = "onnxruntime.ai/docs"
_TRT = "docs.nvidia.com/deeplearning/tensorrt/11.3.0"
_NNCF = "nncf.OverflowFix (NNCF 3.4)"

RULES: Mapping[str, tuple[Rule, ...]] = {
    "openvino": (
        Rule("runtime", "the host has openvino", "", rules.present),
        Rule(
            "version",
            "its OpenVINO is at least of the release that wrote the IR: newer ones read older IR, not the reverse",
            "docs.openvino.ai/2022.1/openvino_2_0_transition_guide.html; intel.com support article 000091835",
            rules.as_new,
        ),
        Rule(
            "bf16",
            "a bf16 artifact needs a CPU that computes in bf16; elsewhere OpenVINO computes in f32",
            "docs.openvino.ai/2024/openvino-workflow/running-inference/inference-devices-and-modes/cpu-device.html",
            rules.bf16,
        ),
        Rule("int8", "int8 that was proven with VNNI or AMX is not taken to x86 without", _NNCF, rules.integers_hold),
        Rule(
            "blob",
            "a compiled blob is loaded only with the same OpenVINO on the same CPU; elsewhere model.xml is (a note)",
            "runtime.json in the bundle",
            rules.blob,
        ),
        Rule("machine", "proven on another architecture (a note)", "", rules.elsewhere),
    ),
    "onnxruntime": (
        Rule("runtime", "the host has onnxruntime; for the CUDA provider onnxruntime-gpu", "", rules.present),
        Rule(
            "version",
            "its ONNX Runtime is at least of the release that made the file; an older one reads standard operators "
            "of an opset and IR version that it knows, a .ort file not at all",
            f"{_ORT}/reference/compatibility.html; {_ORT}/performance/model-optimizations/ort-format-models.html",
            rules.reads_onnx,
        ),
        Rule(
            "layout",
            "a graph of level 'all' runs only on the instruction sets that it was optimised on",
            f"{_ORT}/performance/model-optimizations/graph-optimizations.html",
            rules.layout,
        ),
        Rule("cuda", "the CUDA provider needs an NVIDIA GPU", f"{_ORT}/execution-providers", rules.cuda),
        Rule(
            "int8",
            "int8 that was proven with VNNI or AMX is not taken to x86 without",
            "github.com/microsoft/onnxruntime/pull/12088",
            rules.integers_hold,
        ),
        Rule("machine", "proven on another architecture (a note)", "", rules.elsewhere),
    ),
    "litert": (
        Rule("runtime", "the host has ai-edge-litert", "", rules.present),
        Rule(
            "version",
            "its LiteRT is at least of the release that the file was proven with (all of them read schema 3): newer "
            "ones read older files, older ones not the newer versions of operators",
            "developers.google.com/edge/litert/conversion/tensorflow/ops_version",
            rules.as_new,
        ),
        Rule("machine", "proven on another architecture (a note)", "", rules.elsewhere),
    ),
    "tensorrt": (
        Rule("runtime", "the host has TensorRT", "", rules.present),
        Rule(
            "version",
            "the same TensorRT to the last number; a version-compatible engine also runs on a newer one of the same "
            "major version, and one of 10 on 11",
            f"{_TRT}/getting-started/support-matrix.html; {_TRT}/inference-library/engine-compatibility.html",
            rules.engine_version,
        ),
        Rule(
            "platform",
            "engines are not portable across operating systems and machines",
            f"{_TRT}/getting-started/support-matrix.html",
            rules.platform,
        ),
        Rule(
            "gpu",
            "a GPU of the same compute capability; with hardware_compatibility=ampere_plus 8.0 or newer; another model "
            "of the same capability is a note",
            f"{_TRT}/inference-library/engine-compatibility.html",
            rules.gpu,
        ),
        Rule(
            "driver",
            "the NVIDIA driver is of the engine's CUDA major version or newer",
            "docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html",
            rules.driver,
        ),
    ),
}
