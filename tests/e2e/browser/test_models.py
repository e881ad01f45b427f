"""Models, datasets, workers, the farm and the graph viewer in a browser: what they show, readable by everybody."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from e2e.browser.conftest import NARROW, WIDE, Visitor, fits, serious
from playwright.sync_api import FrameLocator, Page, expect

from enginehouse.client import Client
from enginehouse.views import JobView
from zoo import model_path


@pytest.fixture(scope="session")
def built(farm, tmp_path_factory: pytest.TempPathFactory) -> JobView:
    """A job of a real model that has ended, with samples."""
    stream = io.BytesIO()
    np.savez(stream, x=np.random.default_rng(0).random((16, 1, 3, 48, 192), dtype=np.float32))
    path = tmp_path_factory.mktemp("samples") / "crops.npz"
    path.write_bytes(stream.getvalue())
    with Client(farm.url, farm.token) as client:
        model = client.models.push(model_path("ppocr-cls")).id
        client.datasets.push(path, name="crops")
        job = client.jobs.submit(
            model=model, targets=["openvino:fp16", "onnxruntime:fp32"], dataset="crops", name="for the pages"
        )
        return client.jobs.wait(job, timeout=240)


def pages(job: JobView) -> dict[str, str]:
    return {
        "submit": "/submit",
        "form": f"/submit?job={job.id}",
        "models": "/models",
        "model": f"/models/{job.model}",
        "datasets": "/datasets",
        "dataset": "/datasets/crops",
        "workers": "/workers",
        "farm": "/farm",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_given_each_page_i_expect_that_everybody_can_read_it(
    visit: Callable[..., Visitor], built: JobView, scheme: str, viewport: dict[str, int]
) -> None:
    visitor = visit(viewport=viewport, color_scheme=scheme)
    for name, path in pages(built).items():
        page = visitor.open(path)
        expect(page.locator("h1")).to_have_count(1)
        assert serious(page) == [], name
        assert fits(page), name
        page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
        assert fits(page), f"{name}, opened"
        visitor.check()


def test_given_a_model_i_expect_to_find_its_builds_their_artifacts_and_where_it_can_go(
    visitor: Visitor, built: JobView
) -> None:
    page = visitor.open(f"/models/{built.model}")
    came = page.get_by_role("region", name="Builds of this model, by job")
    expect(came).to_contain_text("for the pages")
    row = came.get_by_role("row").filter(has_text="openvino:fp16").first
    expect(row).to_contain_text("succeeded")
    expect(row).to_contain_text("ms")
    row.get_by_role("link", name="beside the source").click()
    expect(page.get_by_role("heading", name="Source")).to_be_visible()


def nodes(frame: FrameLocator) -> None:
    """The graph is drawn: nodes with the names of operators."""
    expect(frame.locator("svg#canvas g.node").nth(5)).to_be_attached(timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_given_source_and_result_i_expect_both_graphs_years_from_now_and_no_word_to_the_outside(
    visit: Callable[..., Visitor], built: JobView, scheme: str
) -> None:
    visitor = visit(color_scheme=scheme)
    visitor.page.clock.set_system_time("2036-05-01T12:00:00Z")  # it would ask for an update after half a year
    artifact = built.builds[0].artifact
    page = visitor.open(f"/models/{built.model}/graph?artifact={artifact}")
    source = page.frame_locator("iframe[title='Graph of the source']")
    result = page.frame_locator("iframe[title='Graph of openvino:fp16']")
    nodes(source)
    nodes(result)
    expect(source.locator("svg#canvas")).to_contain_text("Conv")
    expect(result.locator("svg#canvas")).to_contain_text("Convolution")
    for frame in (source, result):
        expect(frame.get_by_text(re.compile("update|cookies|usage information"))).to_have_count(0)
    source.locator("g.node").nth(2).click()  # its properties, too, are there without a word to anybody
    expect(source.locator("#sidebar")).to_contain_text("Properties")


def test_given_a_dataset_dropped_on_its_page_i_expect_its_statistics(visitor: Visitor) -> None:
    page = visitor.open("/datasets")
    stream = io.BytesIO()
    np.savez(stream, x=np.full((8, 1, 4), 2.5, dtype=np.float32))
    page.get_by_label("Name").fill("halves")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files({"name": "Some File.npz", "mimeType": "application/zip", "buffer": stream.getvalue()})
    page.wait_for_url(re.compile("/datasets/halves"))
    expect(page.get_by_role("region", name="Inputs with their statistics")).to_contain_text("2.5")


def test_given_a_file_that_is_no_dataset_i_expect_to_read_what_to_do(visitor: Visitor) -> None:
    visitor.expect("/v1/datasets")
    page = visitor.open("/datasets")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files({"name": "notes.npz", "mimeType": "application/zip", "buffer": b"no archive at all"})
    card = page.locator("[data-upload=dataset] [role=alert]")
    expect(card.locator(".advice")).to_contain_text("What to do:")


def test_given_an_operator_i_expect_to_pause_and_resume_a_worker_with_a_reason(
    visitor: Visitor, built: JobView, client: Client
) -> None:
    name = client.workers.list().items[0].name
    page = visitor.open("/workers")
    card = page.locator("section.card").filter(has=page.get_by_role("heading", name=re.compile(name)))
    card.get_by_text("Pause or drain").click()
    card.get_by_label(f"Why: Pause {name}").fill("a new fan")
    card.get_by_role("button", name=f"Pause {name}").click()
    expect(card).to_contain_text("paused: a new fan")
    assert client.workers.list().items[0].mode == "paused"
    card.get_by_role("button", name="Resume").click()
    expect(card).not_to_contain_text("a new fan")
    assert client.workers.list().items[0].mode == "open"


def test_given_a_running_build_i_expect_to_see_by_itself_what_a_worker_does(
    visitor: Visitor, built: JobView, client: Client, seed: int
) -> None:
    page = visitor.open("/workers")
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    job = client.jobs.submit(model=built.model, targets=["openvino:fp32"], shapes={"x": [1, 3, 48, 192]}, seed=seed)
    link = page.locator(f"a[href='/builds/{job.builds[0].id}']")
    expect(link).to_be_visible(timeout=30_000)
    client.jobs.wait(job, timeout=240)
    expect(link).to_have_count(0, timeout=30_000)


def test_given_ended_builds_i_expect_the_farm_to_count_them(visitor: Visitor, built: JobView) -> None:
    page: Page = visitor.open("/farm")
    expect(page.locator("svg.throughput rect.c1").first).to_be_attached()
    page.get_by_text("As a table").click()
    expect(page.get_by_role("region", name="Throughput").get_by_role("row")).not_to_have_count(1)
    page.get_by_role("link", name="Month").click()
    expect(page.get_by_role("link", name="Month")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("region", name="Queue and waits by pool")).to_contain_text("cpu-")
    expect(page.locator("main")).to_contain_text("Whole store")
