"""What is looked at to say whether an artifact runs on a host: one function for each rule. Pure.

``enginehouse.compatibility`` is the table that says which backend has which rules, and where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enginehouse.host.cpu import ISA_TAGS
from enginehouse.reasons import Reason
from enginehouse.targets import Precision
from enginehouse.versions import DRIVERS, OPSETS, RUNTIMES, engine_fits, engine_loads, release, runtime_of

if TYPE_CHECKING:
    from enginehouse.capability import Gpu
    from enginehouse.fingerprint import Fingerprint

MACHINES = frozenset({"x86_64", "aarch64"})
VENDORS = frozenset({"intel", "amd", "arm", "ampere", "hisilicon"})
INT8_DOT = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""x86 instruction sets that add products of eight bits up in 32 bits; older ones saturate in 16."""
BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True)
class Made:
    """What decides where an artifact runs: how it was made, and on what. Unknown is empty.

    ``settings``: the manifest's. ``tags``, ``cpu_model``: of the machine that it was proven on.
    """

    backend: str
    precision: Precision
    options: Mapping[str, Any] = field(default_factory=dict)
    runtime: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    cpu_model: str = ""


@dataclass(frozen=True)
class Finding:
    """What a rule has to say: a refusal with its reason, or a note, whose reason is None."""

    reason: Reason | None
    text: str
    advice: str = ""


# -- rules of several backends --------------------------------------------------------------------


def present(made: Made, host: Fingerprint) -> Finding | None:
    """The runtime is there."""
    if _here(made, host) is not None:
        return None
    names = _packages(made)
    built = runtime_of(made.backend, made.runtime)
    version = f" {built[1]}" if built else ""
    return Finding(
        Reason.RUNTIME_MISSING,
        f"the host has no {' or '.join(names)}",
        f"Install {built[0] if built and built[0] in names else names[0]}{version} on it.",
    )


def as_new(made: Made, host: Fingerprint) -> Finding | None:
    """At least the minor release that made it: newer runtimes read older files, the reverse is not promised."""
    built, here = runtime_of(made.backend, made.runtime), _here(made, host)
    if built is None or here is None or release(here[1])[:2] >= release(built[1])[:2]:
        return None
    return Finding(
        Reason.RUNTIME_VERSION,
        f"it was made by {built[0]} {built[1]}, and the host has {here[0]} {here[1]}, which is older",
        f"Install {here[0]} {built[1]} or newer on the host.",
    )


def integers_hold(made: Made, host: Fingerprint) -> Finding | None:
    """Eight-bit sums that were proven with VNNI or AMX saturate on x86 without."""
    computed = made.precision is Precision.INT8 and made.options.get("quantization") != "weights"
    fixed = made.options.get("overflow_fix") in ("enable", "first_layer")
    here = set(host.hardware.tags)
    if not computed or fixed or "x86_64" not in here or here & INT8_DOT or not made.tags & INT8_DOT:
        return None
    return Finding(
        Reason.INSTRUCTION_SET,
        "its int8 sums were proven with VNNI or AMX; on this host's x86 CPU, which has neither, they can saturate",
        "Build it on a worker without them (a tag in the target), or for another precision.",
    )


def elsewhere(made: Made, host: Fingerprint) -> Finding | None:
    """Other kernels ran when it was proven."""
    machine, here = made.tags & MACHINES, MACHINES.intersection(host.hardware.tags)
    if not machine or not here or machine == here:
        return None
    return Finding(None, f"proven on {_words(machine)}, this host is {_words(here)}: its kernels are others")


def driver(made: Made, host: Fingerprint) -> Finding | None:
    """The CUDA that it was made with needs a driver of at least its own generation."""
    major = release(str(made.settings.get("cuda_runtime", "")))[:1]
    oldest = DRIVERS.get(major[0]) if major else None
    drivers = [release(gpu.driver)[0] for gpu in _nvidia(host) if gpu.driver and release(gpu.driver)]
    if oldest is None or not drivers or max(drivers) >= oldest:
        return None
    return Finding(
        Reason.DRIVER,
        f"it was made with CUDA {made.settings['cuda_runtime']}, which needs driver {oldest} or newer; "
        f"the host has {max(drivers)}",
        f"Install an NVIDIA driver {oldest} or newer on the host.",
    )


# -- OpenVINO -------------------------------------------------------------------------------------


def bf16(made: Made, host: Fingerprint) -> Finding | None:
    """A CPU that computes in bf16."""
    if made.precision is not Precision.BF16 or BF16.intersection(host.hardware.tags):
        return None
    return Finding(
        Reason.INSTRUCTION_SET,
        f"it is computed in bf16, and the host's CPU has none of {_words(BF16)}",
        "Ask for fp32, fp16 or int8 on this host.",
    )


def blob(made: Made, host: Fingerprint) -> Finding | None:
    """A compiled model is for one CPU and one OpenVINO; model.xml beside it is for all."""
    if not made.options.get("compiled_blob"):
        return None
    same_cpu = made.cpu_model == host.hardware.cpu_model and _isa(made.tags) == _isa(frozenset(host.hardware.tags))
    if same_cpu and host.runtimes.get("openvino") == made.runtime.get("openvino"):
        return None
    return Finding(None, "load model.xml: model.blob is for the CPU and the OpenVINO that compiled it alone")


# -- ONNX Runtime ---------------------------------------------------------------------------------


def reads_onnx(made: Made, host: Fingerprint) -> Finding | None:
    """As new as the one that made it; an older one only for standard operators of an opset that it knows."""
    refusal, here = as_new(made, host), _here(made, host)
    if refusal is None or here is None or _form(made) == "ort":
        return refusal
    known = max((row for row in OPSETS if row <= release(here[1])[:2]), default=None)
    opset, ir = made.settings.get("opset"), made.settings.get("ir_version")
    if known is None or not isinstance(opset, int) or not isinstance(ir, int):
        return refusal
    if opset > OPSETS[known][0] or ir > OPSETS[known][1]:
        newest = f"opset {OPSETS[known][0]} and IR version {OPSETS[known][1]}"
        return Finding(
            refusal.reason,
            f"{refusal.text}: it reads {newest}, the model is of {opset} and {ir}",
            refusal.advice,
        )
    if made.settings.get("domains"):
        text = f"{refusal.text}, and the model has operators of {made.settings['domains']}, which may be newer"
        return Finding(refusal.reason, text, f"{refusal.advice} Or build it with the option level=basic.")
    return Finding(None, f"{refusal.text}; it reads the model's opset {opset}, but nothing was proven with it")


def layout(made: Made, host: Fingerprint) -> Finding | None:
    """Memory layouts are bound to the instruction sets that they were chosen for."""
    tags = frozenset(host.hardware.tags)
    if made.options.get("level") != "all" or not made.tags or _isa(made.tags) == _isa(tags):
        return None
    return Finding(
        Reason.INSTRUCTION_SET,
        "it was optimised at level 'all', whose memory layouts are bound to the instruction sets that it was made on "
        f"({_words(_isa(made.tags))})",
        "Build it with the option level=extended.",
    )


def cuda(made: Made, host: Fingerprint) -> Finding | None:
    """A GPU for the CUDA provider."""
    if not on_cuda(made) or _nvidia(host):
        return None
    return Finding(Reason.GPU_MISSING, "it runs by CUDA, and the host shows no NVIDIA GPU", "Build it for the cpu.")


# -- TensorRT -------------------------------------------------------------------------------------


def engine_version(made: Made, host: Fingerprint) -> Finding | None:
    """See ``enginehouse.versions.engine_loads``."""
    here = _here(made, host)
    built = str(made.settings.get("tensorrt") or (runtime_of("tensorrt", made.runtime) or ("", ""))[1])
    compatible = bool(made.settings.get("version_compatible"))
    if here is None or engine_loads(built, here[1], version_compatible=compatible):
        return None
    how = " as a version-compatible engine" if compatible else ""
    return Finding(
        Reason.RUNTIME_VERSION,
        f"the engine was built by TensorRT {built}{how}, which TensorRT {here[1]} does not load",
        f"Install TensorRT {built}, or build with the option version_compatible by {here[1]} or an older one.",
    )


def platform(made: Made, host: Fingerprint) -> Finding | None:
    """Engines do not go from one operating system or machine to another."""
    machine, here = made.tags & MACHINES, MACHINES.intersection(host.hardware.tags)
    if host.os == "linux" and (not machine or not here or machine == here):
        return None
    return Finding(
        Reason.PLATFORM,
        f"an engine runs on the platform that it was built on, linux {_words(machine)}; "
        f"this host is {host.os} {_words(here)}",
        "Build it on a worker of the host's platform.",
    )


def gpu(made: Made, host: Fingerprint) -> Finding | None:
    """See ``enginehouse.versions.engine_fits``."""
    gpus, level = _nvidia(host), str(made.settings.get("hardware_compatibility") or "none")
    if not gpus:
        return Finding(Reason.GPU_MISSING, "the host shows no NVIDIA GPU", "Ask for another backend on this host.")
    built = str(made.settings.get("compute_capability", ""))
    fitting = [gpu for gpu in gpus if engine_fits(level, built, gpu.compute_capability or "")]
    if not fitting:
        have = _words({gpu.compute_capability or "unknown" for gpu in gpus})
        needs = "8.0 or newer" if level == "ampere_plus" else built or "one that it does not tell"
        return Finding(
            Reason.GPU_ARCHITECTURE,
            f"the engine needs compute capability {needs}; the host's GPUs have {have}",
            "Build it for the host's GPU (a tag in the target), or with the option hardware_compatibility.",
        )
    device = made.settings.get("device")
    if device and device not in {gpu.name for gpu in fitting}:
        return Finding(None, f"built for {device}: on {fitting[0].name} it runs, but kernels were chosen elsewhere")
    return None


def on_gpu(made: Made) -> bool:
    """Whether the artifact runs on a GPU."""
    return made.backend == "tensorrt" or on_cuda(made)


def isa_and_vendor(tags: frozenset[str]) -> frozenset[str]:
    """Of a machine's tags those that its speed on a CPU depends on: instruction sets, vendor, machine."""
    return _isa(tags) | (tags & (VENDORS | MACHINES))


def _isa(tags: frozenset[str]) -> frozenset[str]:
    return tags & frozenset(ISA_TAGS.values())


def _packages(made: Made) -> tuple[str, ...]:
    return ("onnxruntime-gpu",) if on_cuda(made) else RUNTIMES[made.backend]


def _here(made: Made, host: Fingerprint) -> tuple[str, str] | None:
    return next(((name, host.runtimes[name]) for name in _packages(made) if name in host.runtimes), None)


def on_cuda(made: Made) -> bool:
    """Whether it runs by ONNX Runtime's CUDA provider."""
    return made.backend == "onnxruntime" and made.options.get("provider") == "cuda"


def _form(made: Made) -> str:
    return str(made.settings.get("form") or made.options.get("form") or "onnx")


def _nvidia(host: Fingerprint) -> list[Gpu]:
    return [gpu for gpu in host.hardware.gpus if gpu.kind == "nvidia"]


def _words(names: frozenset[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "unknown"
