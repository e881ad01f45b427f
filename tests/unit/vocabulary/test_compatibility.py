"""Every row of the table of compatibility, at its edges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from enginehouse import rules
from enginehouse.capability import Gpu, Hardware
from enginehouse.compatibility import RULES, judge
from enginehouse.fingerprint import Fingerprint
from enginehouse.reasons import Reason
from enginehouse.rules import Made
from enginehouse.targets import BACKENDS, Precision
from enginehouse.versions import RUNTIMES, release

PAGE = (Path(__file__).parents[3] / "docs" / "resolve.md").read_text()
XEON = ("amx_bf16", "amx_int8", "avx2", "avx512_bf16", "avx512_vnni", "avx512f", "cpu", "intel", "x86_64")
OLD = ("avx2", "cpu", "intel", "x86_64")
GRAVITON = ("aarch64", "arm", "asimddp", "bf16", "cpu", "i8mm", "sve")
H200 = Gpu(name="NVIDIA H200", kind="nvidia", compute_capability="9.0", driver="580.95.05")
RUNTIME = {
    "openvino": {"openvino": "2026.4.1"},
    "onnxruntime": {"onnxruntime": "1.31.1"},
    "litert": {"ai-edge-litert": "2.3.0"},
    "tensorrt": {"tensorrt-cu13": "10.16.1.11"},
}
ENGINE = {
    "tensorrt": "10.16.1.11",
    "device": "NVIDIA H200",
    "compute_capability": "9.0",
    "hardware_compatibility": "none",
    "version_compatible": False,
    "cuda_runtime": "13.0",
}


def host(
    *tags: str, gpus: tuple[Gpu, ...] = (), system: str = "linux", cpu: str = "xeon", **runtimes: str
) -> Fingerprint:
    hardware = Hardware(
        hardware_class="h", tags=sorted(tags or XEON), cpu_model=cpu, cores=4, memory_mb=1, gpus=list(gpus)
    )
    return Fingerprint(
        hardware=hardware, os=system, runtimes={name.replace("_", "-"): v for name, v in runtimes.items()}
    )


def made(backend: str, precision: str = "fp32", tags: tuple[str, ...] = XEON, **more: Any) -> Made:
    given: dict[str, Any] = {"runtime": RUNTIME[backend], "cpu_model": "xeon"} | more
    return Made(backend=backend, precision=Precision(precision), tags=frozenset(tags), **given)


def engine(**settings: Any) -> Made:
    return made("tensorrt", settings=ENGINE | settings)


def said(one: Made, on: Fingerprint) -> tuple[Reason | None, str]:
    """The refusal's code and text, else None and the notes."""
    refusal, notes = judge(one, on)
    return (refusal.reason, refusal.text) if refusal else (None, "; ".join(notes))


def test_every_backend_has_rules_a_runtime_and_its_rows_on_the_page() -> None:
    assert set(RULES) == set(BACKENDS) == set(RUNTIMES)
    for backend, rows in RULES.items():
        assert [row.name for row in rows][:2] == ["runtime", "version"], "what is not there is said first"
        assert len({row.name for row in rows}) == len(rows)
        for row in rows:
            assert f"| {backend} | {row.name} | {row.says} | {row.source} |" in PAGE
            assert row.source or row.name in ("runtime", "machine"), f"{backend}: {row.name} has no source"


def test_every_rule_is_in_the_table() -> None:
    used = {row.check.__name__ for rows in RULES.values() for row in rows}
    written = set(
        re.findall(r"^def ([a-z]\w*)\(made: Made, host: Fingerprint\)", Path(rules.__file__).read_text(), re.M)
    )
    assert written == used


def test_every_reason_is_explained_on_the_page() -> None:
    for reason in Reason:
        assert f"| `{reason}` |" in PAGE


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_its_runtime_nothing_runs(backend: str) -> None:
    refusal, _ = judge(made(backend), host(gpus=(H200,)))
    assert refusal is not None
    assert refusal.reason is Reason.RUNTIME_MISSING
    (version,) = RUNTIME[backend].values()
    assert version in refusal.advice, "the version that it is proven with"


def test_what_has_no_rules_never_runs() -> None:
    one = Made(backend="abacus", precision=Precision.FP32)
    assert said(one, host()) == (Reason.RUNTIME_MISSING, "nothing is known about where abacus runs")


@pytest.mark.parametrize(
    ("backend", "package", "here", "runs"),
    [
        ("openvino", "openvino", "2026.4.1", True), ("openvino", "openvino", "2026.4.0", True),
        ("openvino", "openvino", "2027.0.0", True), ("openvino", "openvino", "2026.3.9", False),
        ("openvino", "openvino", "2025.9", False), ("openvino", "openvino", "nonsense", False),
        ("litert", "ai_edge_litert", "2.3.0", True), ("litert", "ai_edge_litert", "2.10.0", True),
        ("litert", "ai_edge_litert", "2.2.0", False), ("litert", "ai_edge_litert", "1.4.0", False),
        ("onnxruntime", "onnxruntime", "1.31.0", True), ("onnxruntime", "onnxruntime", "1.32.0", True),
        ("onnxruntime", "onnxruntime", "1.30.0", False), ("onnxruntime", "onnxruntime_gpu", "1.31.1", True),
    ],
)  # fmt: skip
def test_newer_runtimes_read_older_files_and_not_the_reverse(backend: str, package: str, here: str, runs: bool) -> None:
    code, text = said(made(backend), host(**{package: here}))
    assert code is (None if runs else Reason.RUNTIME_VERSION)
    assert runs or here in text


@pytest.mark.parametrize(
    ("settings", "here", "runs"),
    [
        ({"opset": 17, "ir_version": 8, "domains": ""}, "1.13.1", True),
        ({"opset": 17, "ir_version": 8, "domains": ""}, "1.12.0", False),
        ({"opset": 18, "ir_version": 8, "domains": ""}, "1.13.1", False),
        ({"opset": 19, "ir_version": 9, "domains": ""}, "1.15.1", False),
        ({"opset": 19, "ir_version": 9, "domains": ""}, "1.16.0", True),
        ({"opset": 21, "ir_version": 10, "domains": ""}, "1.24.0", True),
        ({"opset": 22, "ir_version": 10, "domains": ""}, "1.24.0", False),
        ({"opset": 21, "ir_version": 10, "domains": "com.microsoft"}, "1.24.0", False),
        ({"opset": 17, "ir_version": 8, "domains": "", "form": "ort"}, "1.30.0", False),
        ({"opset": "17", "ir_version": 8, "domains": ""}, "1.30.0", False),
    ],
)  # fmt: skip
def test_an_older_onnx_runtime_reads_standard_operators_that_it_knows(
    settings: dict[str, Any], here: str, runs: bool
) -> None:
    code, text = said(made("onnxruntime", settings=settings), host(onnxruntime=here))
    assert code is (None if runs else Reason.RUNTIME_VERSION)
    assert ("nothing was proven with it" in text) is runs


def test_a_layout_goes_to_the_same_instruction_sets_only() -> None:
    one = made("onnxruntime", options={"level": "all"})
    assert said(one, host(onnxruntime="1.31.1"))[0] is None
    assert said(one, host(*OLD, onnxruntime="1.31.1"))[0] is Reason.INSTRUCTION_SET
    assert said(made("onnxruntime", options={"level": "extended"}), host(*OLD, onnxruntime="1.31.1"))[0] is None


def test_the_cuda_provider_needs_its_package_and_a_gpu() -> None:
    one = made("onnxruntime", "fp16", options={"provider": "cuda"}, runtime={"onnxruntime-gpu": "1.31.1"})
    assert said(one, host(onnxruntime="1.31.1", gpus=(H200,)))[0] is Reason.RUNTIME_MISSING
    assert said(one, host(onnxruntime_gpu="1.31.1"))[0] is Reason.GPU_MISSING
    assert said(one, host(onnxruntime_gpu="1.31.1", gpus=(H200,))) == (None, "")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(
    ("precision", "options", "built_on", "here", "runs"),
    [
        ("int8", {}, XEON, OLD, False), ("int8", {"quantization": "static"}, XEON, OLD, False),
        ("int8", {}, XEON, XEON, True), ("int8", {}, OLD, OLD, True), ("int8", {}, OLD, XEON, True),
        ("int8", {}, XEON, (*OLD, "avx_vnni"), True), ("int8", {"quantization": "weights"}, XEON, OLD, True),
        ("int8", {"overflow_fix": "enable"}, XEON, OLD, True), ("int8", {"overflow_fix": "auto"}, XEON, OLD, False),
        ("int8", {}, XEON, GRAVITON, True), ("fp16", {}, XEON, OLD, True),
    ],
)  # fmt: skip
def test_integer_sums_proven_with_vnni_are_not_taken_to_x86_without(
    backend: str, precision: str, options: dict[str, Any], built_on: tuple[str, ...], here: tuple[str, ...], runs: bool
) -> None:
    on = host(*here, openvino="2026.4.1", onnxruntime="1.31.1")
    code, text = said(made(backend, precision, built_on, options=options), on)
    assert code is (None if runs else Reason.INSTRUCTION_SET)
    assert ("kernels are others" in text) is (here is GRAVITON)


@pytest.mark.parametrize(("tags", "runs"), [(XEON, True), (GRAVITON, True), (OLD, False)])
def test_bf16_goes_where_the_cpu_computes_in_it(tags: tuple[str, ...], runs: bool) -> None:
    code, _ = said(made("openvino", "bf16"), host(*tags, openvino="2026.4.1"))
    assert code is (None if runs else Reason.INSTRUCTION_SET)


@pytest.mark.parametrize(
    ("on", "own"),
    [
        (host(openvino="2026.4.1"), True),
        (host(openvino="2026.4.2"), False),
        (host(openvino="2026.4.1", cpu="another"), False),
        (host(*OLD, openvino="2026.4.1"), False),
    ],
)
def test_a_compiled_blob_stays_where_it_was_compiled_and_the_ir_goes_on(on: Fingerprint, own: bool) -> None:
    code, notes = said(made("openvino", options={"compiled_blob": True}), on)
    assert code is None
    assert ("load model.xml" in notes) is not own


@pytest.mark.parametrize(
    ("settings", "here", "runs"),
    [
        ({}, "10.16.1.11", True), ({}, "10.16.1.12", False), ({"version_compatible": True}, "10.17.0.1", True),
        ({"version_compatible": True}, "11.0.0.1", True), ({"version_compatible": True}, "10.9.0.1", False),
        ({"version_compatible": True}, "12.0.0.1", False), ({}, "nonsense", False),
    ],
)  # fmt: skip
def test_an_engine_is_loaded_by_its_own_tensorrt(settings: dict[str, Any], here: str, runs: bool) -> None:
    code, _ = said(engine(**settings), host(tensorrt_cu13=here, gpus=(H200,)))
    assert code is (None if runs else Reason.RUNTIME_VERSION)


@pytest.mark.parametrize(
    ("level", "capability", "runs"),
    [
        ("none", "9.0", True), ("none", "8.9", False), ("same_compute_capability", "9.0", True),
        ("same_compute_capability", "10.0", False), ("ampere_plus", "8.0", True), ("ampere_plus", "12.0", True),
        ("ampere_plus", "7.5", False), ("none", None, False),
    ],
)  # fmt: skip
def test_an_engine_runs_on_its_architecture(level: str, capability: str | None, runs: bool) -> None:
    gpu = H200.model_copy(update={"name": "NVIDIA Other", "compute_capability": capability})
    code, text = said(engine(hardware_compatibility=level), host(tensorrt="10.16.1.11", gpus=(gpu,)))
    assert code is (None if runs else Reason.GPU_ARCHITECTURE)
    assert ("kernels were chosen elsewhere" in text) is runs


def test_one_fitting_gpu_among_others_is_enough_and_none_is_said() -> None:
    old = H200.model_copy(update={"name": "NVIDIA T4", "compute_capability": "7.5"})
    intel = Gpu(name="Intel Arc", kind="intel-gpu")
    assert said(engine(), host(tensorrt="10.16.1.11", gpus=(old, H200))) == (None, "")
    assert said(engine(), host(tensorrt="10.16.1.11", gpus=(intel,)))[0] is Reason.GPU_MISSING


@pytest.mark.parametrize(
    ("cuda", "driver", "runs"),
    [
        ("13.0", "580.95.05", True), ("13.0", "575.57.08", False), ("12.9", "525.60.13", True),
        ("12.9", "470.1", False), ("13.0", None, True), ("", "400.1", True), ("13.0", "unknown", True),
    ],
)  # fmt: skip
def test_a_driver_is_of_the_engines_cuda_or_newer(cuda: str, driver: str | None, runs: bool) -> None:
    gpu = H200.model_copy(update={"driver": driver})
    code, _ = said(engine(cuda_runtime=cuda), host(tensorrt="10.16.1.11", gpus=(gpu,)))
    assert code is (None if runs else Reason.DRIVER)


@pytest.mark.parametrize(
    ("tags", "system", "runs"), [(XEON, "linux", True), (GRAVITON, "linux", False), (XEON, "win32", False)]
)
def test_engines_stay_on_their_platform(tags: tuple[str, ...], system: str, runs: bool) -> None:
    code, _ = said(engine(), host(*tags, system=system, tensorrt="10.16.1.11", gpus=(H200,)))
    assert code is (None if runs else Reason.PLATFORM)


def test_what_nothing_is_known_of_does_not_run() -> None:
    blank = Gpu(name="NVIDIA Other", kind="nvidia")
    assert said(made("tensorrt", runtime={}), host(tensorrt="none"))[0] is Reason.RUNTIME_VERSION
    unknown = engine(compute_capability="")
    assert said(unknown, host(tensorrt="10.16.1.11", gpus=(blank,)))[0] is Reason.GPU_ARCHITECTURE


def test_versions_of_any_kind_are_read() -> None:
    assert release("2.13.0+cpu") == (2, 13, 0)
    assert release("2026.4.1-21000-abc") == (2026, 4, 1)
    assert release("9" * 5000) == (999999999,)
    assert release("") == ()
