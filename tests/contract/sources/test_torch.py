"""PyTorch's two formats: run in torch itself, made ONNX, and loaded without running what a stranger put into them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import workers.child.quiet  # noqa: F401 - before any toolchain

pytest.importorskip("torch")

import torch
from contract.backends_models import HARDWARE
from contract.sources.torch_models import (
    CASES,
    Convolution,
    Counting,
    Tokens,
    Untranslatable,
    case,
    edited,
    exported,
    randn,
    rewritten,
    scripted,
    traced,
)
from torch import Tensor, nn

from enginehouse.errors import (
    InvalidShapes,
    ModelExecutesCode,
    ModelUnreadable,
    ReferenceFailed,
    UnsupportedOperator,
)
from enginehouse.request import Recipe
from enginehouse.shapes import ShapeRange
from enginehouse.signature import ModelSignature
from enginehouse.targets import parse_target
from scheduler.inspection.model import read_model
from workers.backends.base import Setting
from workers.backends.options import Options
from workers.backends.workpiece import Source, Workpiece
from workers.pipeline import Order, run
from workers.pipeline.samples import OrderSamples
from workers.sources import get
from workers.sources.torch_export import load_program
from workers.sources.torchscript import load_module
from zoo import CATALOGUE, wheel_member

MAKERS = {"torch-export": (exported, "model.pt2"), "torchscript": (traced, "model.pt")}
BOTH = [(form, name) for form in MAKERS for name in CASES]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Source]:
    """A case's file in a format, with the signature that inspection finds. Each is made once."""
    made: dict[tuple[str, str], Source] = {}

    def get_source(form: str, name: str) -> Source:
        if (form, name) not in made:
            make, file = MAKERS[form]
            path = make(CASES[name], tmp_path_factory.mktemp(f"{form}-{name}") / file)
            made[form, name] = described(path)
        return made[form, name]

    return get_source


def described(path: Path) -> Source:
    return Source(path, read_model([(path.name, path)]))


def order(made: Source, work: Path, target: str = "onnxruntime:fp32", **recipe: Any) -> Order:
    dataset = recipe.pop("dataset_path", None)
    work.mkdir(parents=True, exist_ok=True)
    return Order(
        recipe=Recipe(model="0" * 64, target=parse_target(target), **recipe),
        signature=made.signature,
        model=made.path,
        dataset=dataset,
        dataset_name="samples@1" if dataset else None,
        work=work,
        hardware=HARDWARE,
        threads=1,
        benchmark_s=0.05,
    )


def workpiece(made: Source, work: Path, **recipe: Any) -> Workpiece:
    told = order(made, work, **recipe)
    return Workpiece(
        source=made,
        target=told.recipe.target,
        options=Options(),
        work=work,
        samples=OrderSamples(told, made, 1),
        shapes=told.recipe.shapes,
        profiles=told.recipe.profiles,
    )


def reference(made: Source, work: Path) -> Any:
    return get(made.format).reference(made, Setting(threads=1), work)


def onnx_outputs(made: Source, feeds: dict[str, Any]) -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == [spec.name for spec in made.signature.inputs]
    names = [one.name for one in session.get_outputs()]
    assert names == [spec.name for spec in made.signature.outputs]
    return dict(zip(names, session.run(None, feeds), strict=True))


def close(mine: dict[str, Any], true: dict[str, Any]) -> None:
    assert list(mine) == list(true)
    for name, array in true.items():
        assert mine[name].dtype == array.dtype, name
        np.testing.assert_allclose(mine[name], array, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("form", "name"), BOTH)
class TestEveryCase:
    def test_inspection_names_what_the_session_takes_and_gives(
        self, form: str, name: str, source: Callable[[str, str], Source], tmp_path: Path
    ) -> None:
        made, which = source(form, name), CASES[name]
        assert [spec.name for spec in made.signature.inputs] == list(which.flat)
        for spec in made.signature.inputs:
            array = which.flat[spec.name]
            assert spec.dtype == str(array.dtype)
            assert len(spec.shape) == array.ndim
            fixed = [(dim, size) for dim, size in zip(spec.shape, array.shape, strict=True) if isinstance(dim, int)]
            assert all(dim == size for dim, size in fixed)
        session = reference(made, tmp_path)
        outputs = session.run(which.flat)
        expected = dict(zip([spec.name for spec in made.signature.outputs], which.expected(), strict=True))
        close(outputs, expected)
        close(session.run(which.flat), expected)  # nothing is kept from run to run

    def test_onnx_agrees_with_torch(
        self, form: str, name: str, source: Callable[[str, str], Source], tmp_path: Path
    ) -> None:
        made, which = source(form, name), CASES[name]
        onnx = get(form).to_onnx(workpiece(made, tmp_path))
        assert onnx.signature.inputs == made.signature.inputs
        close(onnx_outputs(onnx, which.flat), reference(made, tmp_path).run(which.flat))


def test_names_of_outputs(source: Callable[[str, str], Source]) -> None:
    names = {name: [spec.name for spec in source("torch-export", name).signature.outputs] for name in CASES}
    assert names == {name: [spec.name for spec in source("torchscript", name).signature.outputs] for name in CASES}
    assert names["convolution"] == ["output"]
    assert names["tokens"] == ["output_0", "output_1"]
    assert names["recurrent"] == ["output_0", "output_1_0", "output_1_1"]
    assert names["named"] == ["logits", "hidden"]


def test_dynamic_shapes_stay_dynamic(source: Callable[[str, str], Source], tmp_path: Path) -> None:
    made = source("torch-export", "dynamic")
    batch, channels, height, width = made.signature.inputs[0].shape
    assert channels == 3
    assert isinstance(batch, str)
    assert isinstance(width, str)
    assert str(height).startswith("2*")
    onnx = get("torch-export").to_onnx(workpiece(made, tmp_path))
    for shape in ((1, 3, 4, 4), (5, 3, 12, 7)):
        feeds = {"image": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
        close(onnx_outputs(onnx, feeds), reference(made, tmp_path).run(feeds))


def test_inputs_are_left_as_they_are(tmp_path: Path) -> None:
    class Writing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x.add_(1)
            return x * 2

    made = described(exported(case(Writing, x=torch.ones(3)), tmp_path / "model.pt2"))
    fed = np.ones(3, np.float32)
    fed.flags.writeable = False
    assert reference(made, tmp_path).run({"x": fed})["output"].tolist() == [4, 4, 4]


def test_constants_among_inputs_and_outputs_are_no_one_elses(tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def forward(self, pair: dict[str, Tensor], none: Any, scale: int, *, extra: Tensor) -> Any:
            return pair["a"] * scale + extra, None, 3, {"b": pair["b"]}

    a, b, extra = randn(2), randn(2), randn(2)
    program = torch.export.export(Mixed(), ({"a": a, "b": b}, None, 3), {"extra": extra})
    torch.export.save(program, tmp_path / "model.pt2")
    made = described(tmp_path / "model.pt2")
    assert [spec.name for spec in made.signature.inputs] == ["pair_a", "pair_b", "extra"]
    assert [spec.name for spec in made.signature.outputs] == ["output_0", "output_3_b"]
    feeds = {"pair_a": a.numpy(), "pair_b": b.numpy(), "extra": extra.numpy()}
    outputs = reference(made, tmp_path).run(feeds)
    close(outputs, {"output_0": (a * 3 + extra).numpy(), "output_3_b": b.numpy()})
    close(onnx_outputs(get("torch-export").to_onnx(workpiece(made, tmp_path)), feeds), outputs)
    loaded = load_program(made)
    assert [one.shape for one in loaded.module()(a, b, extra)] == [(2,), (2,)]


@pytest.mark.parametrize("named", ["model.pt2", "weights", "model.zip"])
def test_the_files_name_does_not_matter(named: str, tmp_path: Path) -> None:
    exported(CASES["named"], tmp_path / "a.pt2").rename(tmp_path / named)
    assert [node.name for node in load_program(tmp_path / named).graph.nodes if node.op == "placeholder"][-1] == "x"
    traced(CASES["named"], tmp_path / "b.pt").rename(tmp_path / named)
    assert len(load_module(tmp_path / named)(randn(1, 4))) == 2


def test_the_layout_of_older_versions(tmp_path: Path) -> None:
    from torch._export.serde.serialize import serialize

    which = CASES["tokens"]
    artifact = serialize(torch.export.export(which.module(), which.copied()))
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.8")
        archive.writestr("serialized_exported_program.json", artifact.exported_program)
        archive.writestr("serialized_state_dict.pt", artifact.state_dict)
        archive.writestr("serialized_constants.pt", artifact.constants)
        archive.writestr("serialized_example_inputs.pt", artifact.example_inputs)
    made = described(path)
    close(
        reference(made, tmp_path).run(which.flat),
        dict(zip([spec.name for spec in made.signature.outputs], which.expected(), strict=True)),
    )


def test_threads_and_nodes(source: Callable[[str, str], Source], tmp_path: Path) -> None:
    made = source("torch-export", "convolution")
    session = get("torch-export").reference(made, Setting(threads=2), tmp_path)
    assert session.settings()["threads"] == 2
    assert reference(made, tmp_path).settings()["threads"] == 1
    assert get("torch-export").nodes(made, tmp_path) == ["conv2d", "batch_norm", "relu"]
    assert get("torch-export").runtime().startswith(f"torch {torch.__version__.split('+')[0]}")


class TestFailures:
    def test_operators_without_a_counterpart_are_named(self, tmp_path: Path) -> None:
        made = described(exported(case(Untranslatable, x=randn(3)), tmp_path / "model.pt2"))
        with pytest.raises(UnsupportedOperator, match="No ONNX function found") as caught:
            get("torch-export").to_onnx(workpiece(made, tmp_path))
        assert caught.value.where["operators"] == ["aten.special_bessel_j0", "aten.special_bessel_j1"]
        assert caught.value.where["nodes"] == ["special_bessel_j0", "special_bessel_j1"]

    def test_of_a_trace_too(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        made = described(traced(case(Untranslatable, x=randn(3)), tmp_path / "model.pt"))
        with pytest.raises(UnsupportedOperator, match="Exporting the operator 'aten::special_bessel_j0'") as caught:
            get("torchscript").to_onnx(workpiece(made, tmp_path))
        assert caught.value.where["operators"] == ["aten::special_bessel_j0"]
        assert "special_bessel_j0" in caught.value.where["nodes"][0]
        assert "graph(" not in capfd.readouterr().out  # the exporter's print of the whole graph

    def test_an_operator_that_torch_does_not_have(self, source: Callable[[str, str], Source], tmp_path: Path) -> None:
        def rename(program: Any) -> None:
            program["graph_module"]["graph"]["nodes"][-1]["target"] = "torch.ops.torchvision.nms.default"

        path = rewritten(
            source("torch-export", "convolution").path, tmp_path / "model.pt2", {"models/model.json": edited(rename)}
        )
        with pytest.raises(UnsupportedOperator, match=r"torchvision\.nms") as caught:
            reference(described(path), tmp_path)
        assert caught.value.where["nodes"] == ["relu"]

    def test_a_cut_file(self, source: Callable[[str, str], Source], tmp_path: Path) -> None:
        for form, (_, file) in MAKERS.items():
            made = source(form, "convolution")
            (tmp_path / file).write_bytes(made.path.read_bytes()[:-300])
            with pytest.raises((ReferenceFailed, ModelUnreadable)):
                reference(Source(tmp_path / file, made.signature), tmp_path)


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self._path), "w"))


class TestNothingIsRun:
    """A file is what it was when it was inspected; should another come this far, loading it still runs nothing."""

    @pytest.fixture
    def marker(self, tmp_path: Path) -> Path:
        return tmp_path / "was-run"

    def test_example_inputs_are_not_unpickled(
        self, source: Callable[[str, str], Source], tmp_path: Path, marker: Path
    ) -> None:
        made = source("torch-export", "named")
        torch.save((Bomb(marker),), tmp_path / "bomb")
        bomb = (tmp_path / "bomb").read_bytes()
        path = rewritten(made.path, tmp_path / "model.pt2", {"data/sample_inputs/model.pt": bomb})
        close(
            reference(described(path), tmp_path).run(CASES["named"].flat),
            reference(made, tmp_path).run(CASES["named"].flat),
        )
        assert not marker.exists()

    @pytest.mark.parametrize("what", ["weights", "constants"])
    def test_pickled_tensors_are_refused(
        self, what: str, source: Callable[[str, str], Source], tmp_path: Path, marker: Path
    ) -> None:
        def pickled(config: Any) -> None:
            meta = {"dtype": 7, "sizes": [], "requires_grad": False, "device": {"type": "cpu"}, "strides": []}
            meta |= {"storage_offset": {"as_int": 0}, "layout": 7}
            prefix = "weight" if what == "weights" else "tensor"
            config["config"]["evil"] = {
                "path_name": f"{prefix}_0", "is_param": False, "use_pickle": True, "tensor_meta": meta,
            }  # fmt: skip

        torch.save(Bomb(marker), tmp_path / "bomb")
        path = rewritten(
            source("torch-export", "named").path,
            tmp_path / "model.pt2",
            {f"data/{what}/model_{what}_config.json": edited(pickled)},
        )
        with pytest.raises(ModelExecutesCode, match="'evil' is pickled"):
            load_program(path)

    @pytest.mark.parametrize("what", ["weights", "constants"])
    def test_tables_of_pickles_hold_tensors_alone(
        self, what: str, source: Callable[[str, str], Source], tmp_path: Path, marker: Path
    ) -> None:
        torch.save({"w": Bomb(marker)}, tmp_path / "bomb")
        path = rewritten(
            source("torch-export", "named").path,
            tmp_path / "model.pt2",
            {f"data/{what}/model.pt": (tmp_path / "bomb").read_bytes()},
        )
        with pytest.raises(ModelExecutesCode, match="pickles more than tensors"):
            load_program(path)
        assert not marker.exists()

    @pytest.mark.parametrize("where", ["shape", "name", "target", "guard", "weight"])
    def test_text_is_not_evaluated(
        self, where: str, source: Callable[[str, str], Source], tmp_path: Path, marker: Path
    ) -> None:
        code = f"open({str(marker)!r}, 'w')"

        def change(program: Any) -> None:
            graph = program["graph_module"]["graph"]
            if where == "shape":
                graph["tensor_values"]["image"]["sizes"][0] = {"as_expr": {"expr_str": code, "hint": None}}
            elif where == "name":
                graph["nodes"][0]["name"] = f"x = {code}; y"
            elif where == "target":
                graph["nodes"][0]["target"] = "torch.os.mkdir"
            elif where == "guard":
                program["guards_code"] = [code]
            else:
                program["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = f'w", {code}, "'

        path = rewritten(
            source("torch-export", "dynamic").path, tmp_path / "model.pt2", {"models/model.json": edited(change)}
        )
        if where == "guard":  # guards are left out
            reference(described(path), tmp_path).run(CASES["dynamic"].flat)
        else:
            with pytest.raises(ModelExecutesCode):
                load_program(path)
        assert not marker.exists()

    def test_compiled_parts_are_refused(self, source: Callable[[str, str], Source], tmp_path: Path) -> None:
        path = rewritten(
            source("torch-export", "named").path, tmp_path / "model.pt2", {"data/aotinductor/model/a.so": b"\x7fELF"}
        )
        with pytest.raises(ModelExecutesCode, match="compiled code"):
            load_program(path)

    def test_a_pickle_in_torchscripts_clothes(
        self, source: Callable[[str, str], Source], tmp_path: Path, marker: Path
    ) -> None:
        made = source("torchscript", "named")
        path = rewritten(made.path, tmp_path / "model.pt", {"data.pkl": pickle.dumps(Bomb(marker), protocol=2)})
        with pytest.raises(ReferenceFailed):
            reference(Source(path, made.signature), tmp_path)
        assert not marker.exists()


class Parts(NamedTuple):
    mean: Tensor
    rest: tuple[Tensor, Tensor]


class Unread(nn.Module):
    def forward(self, unread: Tensor, x: Tensor, more: Tensor | None = None) -> Parts:
        return Parts(x.mean(1), (x * 2, -x))


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Source:
    torch.manual_seed(3)
    return described(scripted(Convolution(), tmp_path_factory.mktemp("scripted") / "model.pt"))


class TestScripts:
    """Scripted modules say nothing of shapes."""

    def test_without_shapes_they_are_asked_for(self, script: Source, tmp_path: Path) -> None:
        assert script.signature.inputs[0].shape == [None]
        with pytest.raises(InvalidShapes, match="how many dimensions image has") as caught:
            get("torchscript").to_onnx(workpiece(script, tmp_path))
        assert "shapes" in caught.value.hint

    def test_given_shapes_are_kept(self, script: Source, tmp_path: Path) -> None:
        import onnx

        source = get("torchscript").to_onnx(workpiece(script, tmp_path, shapes={"image": (2, 3, 8, 6)}))
        sizes = [dim.dim_value for dim in onnx.load(source.path).graph.input[0].type.tensor_type.shape.dim]
        assert sizes == [2, 3, 8, 6]
        assert source.signature.inputs[0].shape == [2, 3, 8, 6]

    def test_profiles_say_what_moves(self, script: Source, tmp_path: Path) -> None:
        span = ShapeRange(min=(1, 3, 8, 8), opt=(2, 3, 8, 8), max=(4, 3, 8, 16))
        source = get("torchscript").to_onnx(workpiece(script, tmp_path, profiles=({"image": span},)))
        for shape in ((1, 3, 8, 8), (4, 3, 8, 16)):
            feeds = {"image": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
            close(onnx_outputs(source, feeds), reference(script, tmp_path).run(feeds))

    def test_a_dataset_tells_the_rank(self, script: Source, tmp_path: Path) -> None:
        samples = np.random.default_rng(0).standard_normal((3, 2, 3, 8, 8)).astype(np.float32)
        np.savez(tmp_path / "samples.npz", image=samples)
        source = get("torchscript").to_onnx(workpiece(script, tmp_path, dataset_path=tmp_path / "samples.npz"))
        feeds = {"image": samples[0][:1]}  # another batch than the samples'
        close(onnx_outputs(source, feeds), reference(script, tmp_path).run(feeds))

    def test_indices_numbers_and_branches(self, tmp_path: Path) -> None:
        class Branching(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.tokens = Tokens()

            def forward(self, ids: Tensor, mask: Tensor, rate: int, loud: bool = False) -> dict[str, Tensor]:
                held, best = self.tokens(ids, mask)
                if rate > 8000:
                    held = held * 2.0
                return {"held": held, "best": best}

        made = described(scripted(Branching(), tmp_path / "model.pt"))
        assert [(spec.name, spec.dtype) for spec in made.signature.inputs] == [
            ("ids", "int64"), ("mask", "float32"), ("rate", "int64"),
        ]  # fmt: skip
        feeds = {"ids": np.array([[1, 2, 3]]), "mask": np.ones((1, 3), np.float32), "rate": np.array(16000)}
        session = reference(made, tmp_path)
        loud, quiet = session.run(feeds), session.run({**feeds, "rate": np.array(4000)})
        np.testing.assert_allclose(loud["held"], 2 * quiet["held"])
        onnx = get("torchscript").to_onnx(workpiece(made, tmp_path, shapes={"ids": (1, 3), "mask": (1, 3)}))
        assert [spec.dtype for spec in onnx.signature.outputs] == ["float32", "int64"]
        for rate, expected in ((16000, loud), (4000, quiet)):
            close(onnx_outputs(onnx, {**feeds, "rate": np.array(rate)}), expected)

    def test_inputs_that_nothing_reads_and_named_tuples(self, tmp_path: Path) -> None:
        made = described(scripted(Unread(), tmp_path / "model.pt"))
        assert [spec.name for spec in made.signature.outputs] == ["mean", "rest_0", "rest_1"]
        feeds = {"unread": np.ones(5, np.float32), "x": np.arange(6, dtype=np.float32).reshape(2, 3)}
        shapes = {name: array.shape for name, array in feeds.items()}
        onnx = get("torchscript").to_onnx(workpiece(made, tmp_path, shapes=shapes))
        close(onnx_outputs(onnx, feeds), reference(made, tmp_path).run(feeds))

    def test_what_the_first_exporter_lacks_the_second_has(self, tmp_path: Path) -> None:
        class Spectrum(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.fft.rfft(x).abs()

        which = case(Spectrum, x=randn(2, 16))
        made = described(traced(which, tmp_path / "model.pt"))
        onnx = get("torchscript").to_onnx(workpiece(made, tmp_path))
        close(onnx_outputs(onnx, which.flat), reference(made, tmp_path).run(which.flat))


def test_silero_vad_keeps_state_and_says_so(tmp_path: Path) -> None:
    digest = "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"
    path = wheel_member(CATALOGUE.models["silero-vad"].wheel, "silero_vad/data/silero_vad.jit", digest)
    made = described(path)
    assert [(spec.name, spec.dtype, spec.shape) for spec in made.signature.inputs] == [
        ("x", "float32", [None]), ("sr", "int64", []),
    ]  # fmt: skip
    assert made.signature.parameters > 500_000
    assert made.signature.operators["aten.lstm_cell"] == 4
    session = reference(made, tmp_path)
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 512)).astype(np.float32) / 10, "sr": np.array(16000)}
    first, second = session.run(feeds), session.run(feeds)
    assert first["output"].shape == (1, 1)
    np.testing.assert_array_equal(first["output"], second["output"])
    with pytest.raises(UnsupportedOperator, match="keeps state in") as caught:
        get("torchscript").to_onnx(workpiece(made, tmp_path, shapes={"x": (1, 512)}))
    assert {"_state", "_context"} <= set(caught.value.where["nodes"])


@pytest.mark.parametrize(("form", "name"), [("torch-export", "dynamic"), ("torchscript", "named")])
def test_a_whole_build(form: str, name: str, source: Callable[[str, str], Source], tmp_path: Path) -> None:
    result = run(order(source(form, name), tmp_path / "work"))
    report = result.report
    assert report.route == [form, "onnx"]
    assert report.verification is not None
    assert report.verification.agrees
    assert report.verification.reference.startswith("torch ")
    assert report.intermediate is not None
    assert report.intermediate.agrees
    assert report.layers


def test_a_signature_is_plain_data(source: Callable[[str, str], Source]) -> None:
    for form, name in BOTH:
        signature = source(form, name).signature
        assert ModelSignature.model_validate_json(signature.model_dump_json()) == signature
        assert signature.format == form
        assert sum(signature.operators.values()) >= 1


def test_counting_starts_afresh_each_time(tmp_path: Path) -> None:
    made = described(scripted(Counting(), tmp_path / "model.pt"))
    session = reference(made, tmp_path)
    x = np.ones((2, 4), np.float32)
    assert [session.run({"x": x})["output"][0, 0] for _ in range(3)] == [3, 3, 3]
