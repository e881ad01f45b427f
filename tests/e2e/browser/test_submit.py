"""The first user's way, in a browser: drop a model, choose targets, submit, watch it end; and what goes wrong on it."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from e2e.browser.conftest import Visitor
from onnx import TensorProto, helper, numpy_helper, save_model
from playwright.sync_api import Locator, Page, Route, expect

from enginehouse.client import Client
from farm.embedded import EmbeddedFarm
from zoo import model_path

MIB = 1024**2
SHAPE = "1, 3, 48, 192"


@pytest.fixture(scope="session")
def published() -> Path:
    """A real model: it tells whether a line of text is upside down."""
    return model_path("ppocr-cls")


def choose(page: Page, *files: Path | dict[str, object], kind: str = "model") -> None:
    """As by the button: it opens a dialogue, in which files are chosen."""
    box = page.locator(f"[data-upload={kind}]")
    with page.expect_file_chooser() as chooser:
        box.get_by_role("button", name=re.compile("Choose (files|a file)")).click()
    chooser.value.set_files(list(files))  # type: ignore[arg-type]


def target(page: Page, name: str) -> Locator:
    """A cell's box in the matrix."""
    return page.locator(f"input[name=target][value='{name}']")


def on_form(page: Page) -> str:
    """Wait for the form of the uploaded model; its id."""
    page.wait_for_url(re.compile(r"/submit\?model=[0-9a-f]{64}$"))
    expect(page.get_by_role("heading", name="Targets")).to_be_visible()
    return page.url.partition("model=")[2]


def large_model(folder: Path, mebibytes: int, seed: int) -> Path:
    """A valid model of that size; another seed makes another."""
    rows = np.random.default_rng(seed).integers(0, 255, (mebibytes, MIB), dtype=np.uint8).view(np.float32)
    rows = np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    nodes = [helper.make_node("Gather", ["w", "x"], ["y"], axis=0)]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, MIB // 4])],
        [numpy_helper.from_array(rows, "w")],
    )
    path = folder / f"large-{seed}.onnx"
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def in_two_files(folder: Path) -> tuple[Path, Path]:
    """A model whose weights lie beside it."""
    weights = numpy_helper.from_array(np.arange(4096, dtype=np.float32).reshape(64, 64), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    save_model(model, folder / "two.onnx", save_as_external_data=True, location="two.weights", size_threshold=0)
    return folder / "two.onnx", folder / "two.weights"


def test_given_a_published_model_i_expect_to_drop_choose_submit_and_see_it_succeed(
    visitor: Visitor, published: Path, client: Client
) -> None:
    page = visitor.open("/submit")
    choose(page, published)
    model = on_form(page)
    expect(page.locator("dl.figures").first).to_contain_text("onnx")
    expect(page.locator("dl.figures").first).to_contain_text("571.8 KiB")
    page.get_by_text("What is in it").click()
    expect(page.get_by_role("region", name="Inputs")).to_contain_text("float32")
    target(page, "openvino:fp16").check()
    target(page, "onnxruntime:fp32").check()
    page.get_by_label("one shape").check()
    page.locator("input[name^='shape:']").fill(SHAPE)
    page.locator("input[name='gate:min_cosine']").fill("0.99")
    plan = page.locator("#plan")
    expect(plan).to_contain_text("2 builds")
    expect(plan).to_contain_text("begins at once")
    expect(plan.get_by_text(re.compile(r"--shape x=1,3,48,192"))).to_be_visible()
    expect(plan.locator("#as-command")).to_contain_text("--gate min_cosine=0.99")
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url(re.compile(r"/jobs/job_[0-9a-z]+$"))
    job = page.url.rpartition("/")[2]
    client.jobs.wait(job, timeout=240)
    expect(page.locator("h1").locator("..")).to_contain_text("succeeded", timeout=30_000)
    builds = client.jobs.get(job).builds
    assert [str(build.target) for build in builds] == ["openvino:fp16", "onnxruntime:fp32"]
    assert {str(build.state) for build in builds} == {"succeeded"}

    page = visitor.open(f"/models/{model}")  # what came of it stands beside the model
    expect(page.get_by_role("region", name="Builds of this model, by job")).to_contain_text("openvino:fp16")

    page = visitor.open(f"/submit?job={job}")  # again: it would be answered at once
    expect(page.locator("#plan")).to_contain_text("built before: answered at once")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("notes.onnx", b"this is no model, it is a text\n" * 20, "not"),
        ("model.pt", pickle.dumps({"weights": [1, 2, 3]}), "What to do"),
        ("empty.onnx", b"", "empty"),
        ("page.html", b"<!doctype html><script>alert(1)</script>", "not"),
    ],
)
def test_given_a_file_that_is_no_model_i_expect_to_read_what_to_do(
    visitor: Visitor, name: str, content: bytes, says: str
) -> None:
    visitor.expect("/v1/models", "/v1/uploads")  # their answers are refusals
    page = visitor.open("/submit")
    choose(page, {"name": name, "mimeType": "application/octet-stream", "buffer": content})
    card = page.locator("[data-upload=model] [role=alert]")
    expect(card).to_be_visible()
    expect(card).to_contain_text(says)
    expect(card.locator(".advice")).to_contain_text("What to do:")
    expect(card.locator(".code")).to_have_text(re.compile(r"^[a-z_]+\.[a-z_]+$"))
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()  # and try another one


def test_given_external_data_i_expect_both_files_to_make_one_model(
    visitor: Visitor, tmp_path: Path, client: Client
) -> None:
    model, weights = in_two_files(tmp_path)
    page = visitor.open("/submit")
    choose(page, weights, model)  # in whatever order they are chosen
    made = client.models.get(on_form(page))
    assert [file.path for file in made.files] == ["two.onnx", "two.weights"]
    assert made.name == "two"


def test_given_a_folder_i_expect_what_is_in_it_to_make_one_model(
    visitor: Visitor, tmp_path: Path, client: Client
) -> None:
    folder = tmp_path / "exported"
    folder.mkdir()
    in_two_files(folder)
    (folder / ".DS_Store").write_bytes(b"hidden files stay at home")
    page = visitor.open("/submit")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(folder)
    made = client.models.get(on_form(page))
    assert [file.path for file in made.files] == ["two.onnx", "two.weights"]


def test_given_only_the_model_of_the_two_i_expect_to_read_which_file_is_missing(
    visitor: Visitor, tmp_path: Path
) -> None:
    visitor.expect("/v1/models")
    model, _ = in_two_files(tmp_path)
    page = visitor.open("/submit")
    choose(page, model)
    expect(page.locator("[data-upload=model] [role=alert]")).to_contain_text("two.weights")


def test_given_a_lost_connection_and_a_reload_i_expect_only_what_is_missing_to_be_sent(
    visitor: Visitor, tmp_path: Path, client: Client, seed: int
) -> None:
    visitor.expect("ERR_FAILED", "ERR_INTERNET_DISCONNECTED")
    path = large_model(tmp_path, 70, seed)  # five parts
    sent: list[str] = []
    page = visitor.open("/submit")

    def lose(route: Route) -> None:
        number = route.request.url.partition("?")[0].rpartition("/")[2]
        if number in {"4", "5"}:
            route.abort()
            return
        sent.append(number)
        route.continue_()

    page.route("**/v1/uploads/*/parts/*", lose)
    choose(page, path)
    says = page.locator("[data-upload=model] [data-says]")
    expect(says).to_contain_text("The connection is lost", timeout=60_000)
    expect(says).to_contain_text("It goes on by itself")
    bar = page.locator("[data-upload=model] [data-bar]")
    expect(bar).to_have_js_property("value", 48 * MIB / path.stat().st_size, timeout=60_000)
    assert sorted(sent) == ["1", "2", "3"]

    page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"
    page.reload()
    expect(page.locator("[data-unfinished]")).to_contain_text("Choose the same file again")
    page.unroute("**/v1/uploads/*/parts/*")
    again: list[str] = []
    page.on("request", lambda request: again.append(request.url) if request.method == "PUT" else None)
    choose(page, path)
    model = on_form(page)
    assert sorted(url.partition("?")[0].rpartition("/")[2] for url in again) == ["4", "5"]
    assert client.models.get(model).size == path.stat().st_size


def test_given_no_connection_for_a_while_i_expect_the_upload_to_go_on_by_itself(
    visitor: Visitor, tmp_path: Path, seed: int
) -> None:
    visitor.expect("ERR_FAILED")
    path = large_model(tmp_path, 20, seed)
    page = visitor.open("/submit")
    lost: list[str] = []

    def lose(route: Route) -> None:
        if len(lost) < 3:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route("**/v1/uploads/*/parts/*", lose)
    choose(page, path)
    on_form(page)
    assert len(lost) == 3


def test_given_a_stop_i_expect_to_read_that_it_can_go_on(visitor: Visitor, tmp_path: Path, seed: int) -> None:
    visitor.expect("ERR_")
    page = visitor.open("/submit")
    page.route("**/v1/uploads/*/parts/*", lambda route: None)  # it hangs
    choose(page, large_model(tmp_path, 20, seed))
    expect(page.locator("[data-says]").first).to_contain_text("Uploading")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("[data-upload=model] [data-errors]")).to_contain_text("choose the same file again")
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()


def test_given_samples_dropped_into_the_form_i_expect_int8_to_become_possible(
    visitor: Visitor, published: Path, client: Client
) -> None:
    model = client.models.push(published).id
    page = visitor.open(f"/submit?model={model}")
    int8 = page.locator("[data-reach='openvino:int8']")
    expect(int8).to_contain_text("needs more")
    expect(int8.locator(".why")).to_contain_text("takes its ranges from samples")
    page.get_by_text("Upload a dataset").click()
    stream = io.BytesIO()
    np.savez(stream, x=np.random.default_rng(0).random((16, 1, 3, 48, 192), dtype=np.float32))
    npz = {"name": "lines.npz", "mimeType": "application/zip", "buffer": stream.getvalue()}
    choose(page, npz, kind="dataset")
    expect(page.locator("#f-dataset")).to_have_value("lines@1")
    expect(int8).to_contain_text("can be built")
    int8.get_by_role("checkbox").check()
    expect(page.locator("#as-command")).to_contain_text("--dataset lines@1")
    expect(page.locator("details[data-backend=openvino]")).to_be_visible()
    expect(page.locator("details[data-backend=onnxruntime]")).to_be_hidden()
    page.locator("details[data-backend=openvino] summary").click()
    page.locator("[name='option:openvino:threads']").fill("100000")
    expect(page.locator("#plan [role=alert]")).to_contain_text("threads")
    visitor.expect("422")
    page.get_by_role("button", name="Submit", exact=True).click()  # sent all the same: the page says it, and keeps all
    expect(page.get_by_role("alert").first).to_contain_text("threads")
    expect(page.locator("#f-dataset")).to_have_value("lines@1")
    expect(target(page, "openvino:int8")).to_be_checked()


def test_given_no_scripts_i_expect_the_page_to_say_so_and_show_the_command(
    visit: Callable[..., Visitor], published: Path, client: Client
) -> None:
    model = client.models.push(published).id
    visitor = visit(java_script_enabled=False)
    page = visitor.open("/submit")
    expect(page.get_by_text("Uploads from this page need JavaScript")).to_be_visible()
    expect(page.get_by_text("enginehouse submit MODEL.onnx")).to_be_visible()
    expect(page.locator("[data-upload=model]")).to_be_hidden()
    page = visitor.open(f"/submit?model={model}")
    target(page, "onnxruntime:fp32").check()
    page.get_by_label("one shape").check()
    page.locator("input[name^='shape:']").fill(SHAPE)
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url(re.compile(r"/jobs/job_[0-9a-z]+$"))


def test_given_many_targets_i_expect_one_click_to_choose_what_can_be_built(
    visitor: Visitor, farm: EmbeddedFarm, published: Path, client: Client
) -> None:
    model = client.models.push(published).id
    page = visitor.open(f"/submit?model={model}")
    page.get_by_role("button", name="All that can be built").click()
    expect(target(page, "openvino:fp32")).to_be_checked()
    expect(target(page, "openvino:int8")).not_to_be_checked()  # it has no samples
    expect(page.locator("#plan")).to_contain_text(re.compile(r"[2-9] builds"))
    page.get_by_role("button", name="None", exact=True).click()
    expect(page.locator("#plan")).to_contain_text("Choose at least one target")
    target(page, "auto").check()
    page.locator("[name='option:auto:budget_s']").fill("30")
    expect(page.locator("#as-command")).to_contain_text("--option auto.budget_s=30")
