"""PyTorch's files through the real child process and the reader itself: no torch, nothing unpickled, nothing run."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch
from contract.sources.torch_models import (
    CASES,
    Convolution,
    Recurrent,
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
    EnginehouseError,
    ModelExecutesCode,
    ModelFormatUnsupported,
    ModelUnreadable,
)
from enginehouse.signature import TensorSpec
from scheduler.inspection import inspect_model
from scheduler.inspection.model import read_model

ROOT = Path(__file__).parents[3]


def read(path: Path) -> Any:
    return read_model([(path.name, path)])


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same module as an exported program, as a trace, and as a script."""
    folder = tmp_path_factory.mktemp("archives")
    return {
        "torch-export": exported(CASES["dynamic"], folder / "model.pt2"),
        "torchscript": traced(CASES["dynamic"], folder / "trace.pt"),
        "scripted": scripted(CASES["dynamic"].module(), folder / "script.pt"),
    }


def test_an_exported_program(archives: dict[str, Path]) -> None:
    signature = inspect_model([("model.pt2", archives["torch-export"])])
    assert signature.format == "torch-export"
    assert signature.producer == f"torch {torch.__version__}"
    assert signature.opsets["aten"] > 0
    (fed,) = signature.inputs
    assert (fed.name, fed.dtype, fed.shape[1]) == ("image", "float32", 3)
    batch, _, height, width = fed.shape
    assert signature.outputs == [TensorSpec(name="output", dtype="float32", shape=[batch, 4, height, width])]
    assert signature.operators == {"aten.conv2d": 1, "aten.batch_norm": 1, "aten.relu": 1}
    weights = CASES["dynamic"].module().state_dict().values()
    assert signature.parameters == sum(tensor.numel() for tensor in weights)


def test_flops_are_those_of_its_products(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 8, 3, groups=2)
            self.up = nn.ConvTranspose2d(8, 2, 2, stride=2)
            self.line = nn.Linear(20, 5, bias=False)

        def forward(self, x: Tensor, q: Tensor) -> tuple[Tensor, ...]:
            y = self.up(self.conv(x))
            return self.line(y), torch.matmul(q, q.transpose(1, 2)), nn.functional.scaled_dot_product_attention(q, q, q)

    made = exported(case(Net, x=randn(1, 4, 12, 12), q=randn(2, 6, 3)), tmp_path / "model.pt2")
    products = 8 * 10 * 10 * (2 * 9)  # the convolution: 8x10x10 out, two channels a group, 3x3
    products += 8 * 10 * 10 * (2 * 2 * 2)  # the transposed one: every input into 2 channels of 2x2
    products += 2 * 20 * 5 * 20  # 2x20 rows of 20 into 5
    products += 2 * 6 * 6 * 3
    products += 2 * (2 * 6 * 6 * 3)  # attention: queries with keys, weights with values
    assert read(made).flops == 2 * products


def test_flops_of_a_recurrence_are_not_made_up(tmp_path: Path) -> None:
    made = exported(CASES["recurrent"], tmp_path / "model.pt2")
    assert read(made).flops is None


def test_a_trace_keeps_its_examples_shapes(archives: dict[str, Path]) -> None:
    signature = inspect_model([("model.pt", archives["torchscript"])])
    assert signature.format == "torchscript"
    assert signature.producer.startswith("torchscript")
    assert signature.inputs == [TensorSpec(name="image", dtype="float32", shape=[2, 3, 8, 6])]
    assert signature.outputs == [TensorSpec(name="output", dtype="float32", shape=[None])]
    assert signature.operators == {"aten._convolution": 1, "aten.batch_norm": 1, "aten.relu": 1}
    assert signature.parameters == read(archives["torch-export"]).parameters
    assert signature.flops is None


def test_a_script_tells_no_shapes(archives: dict[str, Path]) -> None:
    signature = inspect_model([("model.pt", archives["scripted"])])
    assert signature.inputs == [TensorSpec(name="image", dtype="float32", shape=[None])]
    assert signature.operators["aten.conv2d"] == 1
    assert signature.operators["aten.relu"] == 1


class Sequence(nn.Module):
    """Names that are no identifiers, a shared weight, an index through a submodule, a named tuple's kin."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 4, dtype=torch.float32), nn.ReLU())
        self.last = nn.Linear(4, 4)
        self.last.weight = self.layers[1].weight

    def forward(self, ids: Tensor, scale: float, flip: bool) -> dict[str, Tensor]:
        held = self.last(self.layers(ids.unsqueeze(0)))
        if flip:
            held = -held
        return {"a b": held * scale, "ids": held}


def test_what_a_scripts_code_tells(tmp_path: Path) -> None:
    signature = read(scripted(Sequence(), tmp_path / "model.pt"))
    assert [(spec.name, spec.dtype, spec.shape) for spec in signature.inputs] == [
        ("ids", "int64", [None]), ("scale", "float32", []), ("flip", "bool", []),
    ]  # fmt: skip
    assert [spec.name for spec in signature.outputs] == ["a b", "ids_2"]  # 'ids' is an input
    assert signature.parameters == 11 * 4 + 4 * 4 + 4 + 4  # the shared weight counts once
    assert signature.operators["aten.linear"] == 2


def test_tuples_are_taken_apart(tmp_path: Path) -> None:
    signature = read(scripted(Recurrent(), tmp_path / "model.pt"))
    assert [spec.name for spec in signature.inputs] == ["x", "state_0", "state_1"]
    assert [spec.name for spec in signature.outputs] == ["output_0", "output_1_0", "output_1_1"]


def test_weights_in_double_are_fed_with_double(tmp_path: Path) -> None:
    assert read(scripted(CASES["double"].module(), tmp_path / "model.pt")).inputs[0].dtype == "float64"


class Lists(nn.Module):
    def forward(self, xs: list[Tensor]) -> Tensor:
        return xs[0]


class Branches(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for i in range(x.shape[0]):
            found[str(i)] = x[i]
        return found


@pytest.mark.parametrize(("make", "says"), [(Lists, "'xs' is a List"), (Branches, "keys of the dict")])
def test_scripts_that_are_no_function_of_tensors(make: Callable[[], nn.Module], says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match=says) as caught:
        read(scripted(make(), tmp_path / "model.pt"))
    assert "forward takes and returns tensors" in caught.value.hint


class Sizes(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x * 2, x.shape[0] * 2


class Number(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return x * n


@pytest.mark.parametrize(
    ("make", "inputs", "dynamic", "says"),
    [
        (Sizes, (torch.ones(3),), {"x": {0: torch.export.Dim("n")}}, "an output that is no tensor"),
        (Number, (torch.ones(3), 5), {"x": None, "n": torch.export.Dim.DYNAMIC}, "an input that is no tensor"),
    ],
)
def test_programs_that_are_no_function_of_tensors(
    make: Callable[[], nn.Module], inputs: tuple[Any, ...], dynamic: Any, says: str, tmp_path: Path
) -> None:
    torch.export.save(torch.export.export(make(), inputs, dynamic_shapes=dynamic), tmp_path / "model.pt2")
    with pytest.raises(ModelUnreadable, match=says) as caught:
        read(tmp_path / "model.pt2")
    assert "tensor" in caught.value.hint


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("what", ["module", "state_dict", "checkpoint"])
def test_pickles_are_refused_with_the_way_out(what: str, zipped: bool, tmp_path: Path) -> None:
    module = Convolution()
    saved: Any = {"module": module, "state_dict": module.state_dict(), "checkpoint": {"epoch": 3, "model": module}}[
        what
    ]
    for name in ("model.pt", "model.pth", "model.pt2", "model.bin"):
        torch.save(saved, tmp_path / name, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ModelExecutesCode, match="Python pickle") as caught:
            inspect_model([(name, tmp_path / name)])
        assert caught.value.failure().code == "model.executes_code"
        assert "torch.export.save" in caught.value.hint
        assert "torch.onnx.export" in caught.value.hint


def code_of(path: Path) -> list[str]:
    """The members that hold code: their names follow how the classes were imported, and how often they were traced."""
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    return [name for name in names if name.startswith("code/") and name.endswith(".py")]


class TestHostileArchives:
    @pytest.mark.parametrize("form", ["torch-export", "torchscript", "scripted"])
    def test_cut_off(self, form: str, archives: dict[str, Path], tmp_path: Path) -> None:
        data = archives[form].read_bytes()
        for length in (len(data) - 10, len(data) // 2, 100):
            (tmp_path / "model.pt").write_bytes(data[:length])
            with pytest.raises(ModelFormatUnsupported):
                inspect_model([("model.pt", tmp_path / "model.pt")])

    def test_a_member_twice(self, archives: dict[str, Path], tmp_path: Path) -> None:
        for form, name in (("torch-export", "models/model.json"), ("torchscript", "data.pkl")):
            path = rewritten(archives[form], tmp_path / form, {name.upper(): b"{}"})
            with pytest.raises(ModelUnreadable, match="two members of the same name"):
                inspect_model([("model", path)])

    def test_members_outside_the_folder(self, archives: dict[str, Path], tmp_path: Path) -> None:
        path = tmp_path / "model.pt2"
        path.write_bytes(archives["torch-export"].read_bytes())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("../data/weights/weight_0", b"")
        with pytest.raises(ModelUnreadable, match="do not lie in one folder"):
            inspect_model([("model.pt2", path)])

    def test_missing_parts(self, archives: dict[str, Path], tmp_path: Path) -> None:
        for form, names in (
            ("torch-export", ["data/weights/weight_0"]),
            ("torch-export", ["data/weights/model_weights_config.json"]),
            ("torchscript", ["data.pkl"]),
            ("torchscript", code_of(archives["torchscript"])),
        ):
            assert names
            path = rewritten(archives[form], tmp_path / "model", dict.fromkeys(names))
            with pytest.raises(ModelUnreadable):
                inspect_model([("model", path)])

    def test_another_schema(self, archives: dict[str, Path], tmp_path: Path) -> None:
        change = edited(lambda program: program["schema_version"].update(major=4))
        path = rewritten(archives["torch-export"], tmp_path / "model.pt2", {"models/model.json": change})
        with pytest.raises(ModelUnreadable, match=r"version 4 of torch\.export's schema"):
            inspect_model([("model.pt2", path)])

    def test_several_programs(self, archives: dict[str, Path], tmp_path: Path) -> None:
        path = rewritten(archives["torch-export"], tmp_path / "model.pt2", {"models/other.json": b"{}"})
        with pytest.raises(ModelUnreadable, match="the farm takes one"):
            inspect_model([("model.pt2", path)])

    def test_a_table_of_pickles(self, archives: dict[str, Path], tmp_path: Path) -> None:
        torch.save({"w": torch.ones(2)}, tmp_path / "plain")
        torch.save({"w": Convolution()}, tmp_path / "objects")
        for name, refused in (("plain", False), ("objects", True)):
            path = rewritten(
                archives["torch-export"],
                tmp_path / "model.pt2",
                {"data/weights/model.pt": (tmp_path / name).read_bytes()},
            )
            if refused:
                with pytest.raises(ModelExecutesCode, match="is a pickle that loads"):
                    inspect_model([("model.pt2", path)])
            else:
                assert inspect_model([("model.pt2", path)]).format == "torch-export"

    @pytest.mark.parametrize(
        ("at", "code"),
        [
            ("expr_str", "__import__('os').system('true')"),
            ("expr_str", "(lambda: 1)()"),
            ("expr_str", "Symbol('s0').__class__"),
            ("expr_str", "Max('__import__(1)', 2)"),
            ("target", "torch.os.system"),
            ("target", "torch.ops.__class__.x.y"),
            ("target", "torch.ops.aten.add.__globals__"),
            ("target", "_operator.methodcaller"),
            ("target", "builtins.eval"),
            ("target", "#library:op"),
            ("name", "x = 1; y"),
            ("name", "x\ny"),
        ],
    )
    def test_code_in_the_graph(self, at: str, code: str, archives: dict[str, Path], tmp_path: Path) -> None:
        def change(program: Any) -> None:
            graph = program["graph_module"]["graph"]
            if at == "expr_str":
                graph["tensor_values"]["image"]["sizes"][0] = {"as_expr": {"expr_str": code, "hint": None}}
            else:
                graph["nodes"][0][at] = code

        path = rewritten(archives["torch-export"], tmp_path / "model.pt2", {"models/model.json": edited(change)})
        with pytest.raises(ModelExecutesCode) as caught:
            inspect_model([("model.pt2", path)])
        assert "torch.export.save" in caught.value.hint

    def test_classes_in_its_structure(self, archives: dict[str, Path], tmp_path: Path) -> None:
        def change(program: Any) -> None:
            call = program["graph_module"]["module_call_graph"][0]["signature"]
            leaf = {"type": None, "context": None, "children_spec": []}
            context = json.dumps({"default_factory_module": "os", "default_factory_name": "system", "dict_context": []})
            call["out_spec"] = json.dumps(
                [1, {"type": "collections.defaultdict", "context": context, "children_spec": [leaf]}]
            )

        path = rewritten(archives["torch-export"], tmp_path / "model.pt2", {"models/model.json": edited(change)})
        with pytest.raises(ModelUnreadable, match=r"collections\.defaultdict"):
            inspect_model([("model.pt2", path)])

    def test_another_object_in_torchscripts_clothes(self, archives: dict[str, Path], tmp_path: Path) -> None:
        for content in (pickle.dumps(Path("x"), protocol=2), pickle.dumps(Path("x")), pickle.dumps({"a": 1})):
            path = rewritten(archives["torchscript"], tmp_path / "model.pt", {"data.pkl": content})
            with pytest.raises(ModelUnreadable):
                inspect_model([("model.pt", path)])

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_change_is_answered(self, data: st.DataObject, archives: dict[str, Path], tmp_path: Path) -> None:
        """Bytes or JSON entries changed anywhere: a signature or one of our errors, nothing else."""
        form = data.draw(st.sampled_from(sorted(archives)))
        with zipfile.ZipFile(archives[form]) as archive:
            names = [name for name in archive.namelist() if name.endswith((".json", ".pkl", ".py", "version"))]
            name = data.draw(st.sampled_from(names))
            content = archive.read(name)
        if name.endswith(".json"):
            parsed = json.loads(content)
            target = parsed
            while isinstance(target, dict | list) and target:
                key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
                if not isinstance(target[key], dict | list) or not target[key] or data.draw(st.integers(0, 3)) == 0:
                    target[key] = data.draw(st.sampled_from([None, -1, "x", [], {}, [1], {"as_int": "a"}, 10**30]))
                    break
                target = target[key]
            changed = json.dumps(parsed).encode()
        else:
            at = data.draw(st.integers(0, max(len(content) - 1, 0)))
            changed = content[:at] + data.draw(st.binary(max_size=6)) + content[at + data.draw(st.integers(0, 4)) :]
        path = rewritten(archives[form], tmp_path / "model", {name.partition("/")[2]: changed})
        try:
            read(path)
        except EnginehouseError as error:
            assert error.detail


def test_torch_is_not_loaded(archives: dict[str, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from scheduler.inspection.model import read_model\n"
        "for path in sys.argv[1:]: read_model([(path, Path(path))])\n"
        "assert 'torch' not in sys.modules and 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, archives.values())], check=True, cwd=ROOT)
