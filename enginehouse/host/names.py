"""Names for hardware: the tags that a target may require, and the class of machines that perform alike. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from enginehouse.capability import Gpu
from enginehouse.host.cpu import Cpu

_NOISE = re.compile(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*$|\b\d+-core\b", re.IGNORECASE)
_WORDS = re.compile(r"\b(nvidia|geforce|tesla|quadro|graphics|device|gpu|generation|embedded)\b")
_SIZE = re.compile(r"\b\d+\s?gb\b|\b(hbm\w*|pcie?|sxm\d*|nvl|mig)\b")


def tags(cpu: Cpu, gpus: Sequence[Gpu], extra: Collection[str] = ()) -> list[str]:
    """Everything that a target may require of this node, sorted."""
    found = {"cpu", cpu.machine, cpu.vendor, *cpu.isa, *extra}
    for gpu in gpus:
        found.update(gpu_tags(gpu))
    return sorted(found)


def hardware_class(cpu: Cpu, gpus: Sequence[Gpu]) -> str:
    """A stable name for machines that perform alike: model, cores, instruction sets, accelerators.

    'cpu-amd-epyc-2c-avx512_vnni-avx512_bf16': the widest sets only, since the others follow from them.
    """
    model = re.sub(r"[^a-z0-9]+", "-", _NOISE.sub(" ", cpu.model).lower()).strip("-")
    telling = [tag for tag in cpu.isa if tag not in ("avx2", "avx512f", "amx_tile", "asimdhp")]
    if not telling:
        telling = [tag for tag in cpu.isa if tag in ("avx512f", "avx2")][-1:]
    parts = ["cpu", model or cpu.machine, f"{cpu.cores}c", *telling]
    for name, count in sorted(Counter(_gpu_word(gpu) for gpu in gpus).items()):
        parts.append(f"{count}x{name}")
    return "-".join(parts)


def gpu_tags(gpu: Gpu) -> list[str]:
    """What a target may require: the kind, the model in one word, the architecture ('nvidia-gpu', 'h200', 'sm_90')."""
    if gpu.kind != "nvidia":
        return [gpu.kind]
    found = ["nvidia-gpu"]
    if model := model_tag(gpu.name):
        found.append(model)
    if gpu.compute_capability:
        found.append("sm_" + gpu.compute_capability.replace(".", ""))
    return found


def model_tag(name: str) -> str:
    """'NVIDIA H200' → 'h200', 'NVIDIA GeForce RTX 4090' → 'rtx-4090', 'NVIDIA A100-SXM4-80GB' → 'a100'."""
    plain = name.lower().replace("-", " ")
    plain = _SIZE.sub(" ", _WORDS.sub(" ", plain))
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")[:64]


def _gpu_word(gpu: Gpu) -> str:
    return model_tag(gpu.name) if gpu.kind == "nvidia" else gpu.kind
