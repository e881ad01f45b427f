"""Jobs, a job, a build, its log, a comparison: in a browser, before a farm that really builds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from conftest import NARROW, WIDE, Visitor, fits, serious
from playwright.sync_api import expect

from enginehouse.client import Client
from enginehouse.states import JobState
from enginehouse.views import JobView
from farm.embedded import EmbeddedFarm

NOBODY = "openvino:fp16@cpu.cores>=100000"
"""A target that waits for ever."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(farm: EmbeddedFarm) -> str:
    file = Path(onnx.__file__).parent / "backend/test/data/pytorch-converted/test_Conv2d/model.onnx"
    with Client(farm.url, farm.token) as client:
        return client.models.push(file, name="convolution").id


@pytest.fixture(scope="module")
def built(farm: EmbeddedFarm, model: str) -> JobView:
    """A job that has succeeded with two builds."""
    with Client(farm.url, farm.token) as client:
        job = client.jobs.submit(model=model, targets=["openvino:fp32", "onnxruntime:fp32"], name="Two engines")
        found = client.jobs.wait(job.id, timeout=300)
        assert found.state is JobState.SUCCEEDED
        return found


@pytest.fixture(scope="module")
def missed(farm: EmbeddedFarm, model: str) -> JobView:
    """A job whose build missed its gate."""
    with Client(farm.url, farm.token) as client:
        job = client.jobs.submit(
            model=model, targets=["openvino:fp32"], gates={"min_speedup": 1e6}, name="Not fast enough", seed=4
        )
        found = client.jobs.wait(job.id, timeout=300)
        assert found.state is JobState.FAILED
        return found


@pytest.fixture
def waits(model: str, client: Client, request: pytest.FixtureRequest) -> Iterator[JobView]:
    """A job that waits for a machine that nobody has; cancelled at the end."""
    job = client.jobs.submit(model=model, targets=[NOBODY], name=f"Waits for {request.node.name[:60]}")
    yield job
    client.jobs.cancel(job.id)


def addresses(built: JobView, missed: JobView, waits: JobView) -> list[str]:
    good, other, bad = built.builds[0].id, built.builds[1].id, missed.builds[0].id
    tabs = ("", "/log", "/layers", "/files", "/provenance")
    return [
        "/jobs",
        "/jobs?text=nothing+like+that",
        *(f"/jobs/{one.id}" for one in (built, missed, waits)),
        *(f"/builds/{good}{tab}" for tab in tabs),
        f"/builds/{bad}",
        f"/builds/{waits.builds[0].id}",
        "/compare",
        f"/compare?build={good}&build={other}",
        "/openapi",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_can_be_read_by_everybody(
    visit: Callable[..., Visitor], built: JobView, missed: JobView, waits: JobView, scheme: str, size: dict[str, int]
):
    visitor = visit(color_scheme=scheme, viewport=size, reduced_motion="reduce")
    for address in addresses(built, missed, waits):
        page = visitor.open(address)
        expect(page.locator("h1")).to_have_count(1)
        assert serious(page) == [], address
        assert fits(page), address


def test_a_job_is_watched_to_its_end(visitor: Visitor, client: Client, model: str, seed: int):
    job = client.jobs.submit(model=model, targets=["onnxruntime:fp32"], seed=seed, name="Watched")
    page = visitor.open(f"/jobs/{job.id}")
    page.evaluate("window.same = true")
    expect(page.locator("h1 .state")).to_have_text("succeeded", timeout=180_000)
    assert page.evaluate("window.same")  # nothing was loaded anew
    expect(page.locator("#summary")).to_contain_text("The build succeeded")
    expect(page.locator(".matrix .state.succeeded")).to_be_visible()


def test_rows_keep_their_places_and_their_ticks(visitor: Visitor, client: Client, model: str, waits: JobView):
    page = visitor.open("/jobs")
    rows = page.locator("table.jobs tbody tr")
    expect(rows.first).to_have_id(waits.id)
    rows.first.locator("input[type=checkbox]").check()
    expect(page.locator("[data-selected]")).to_have_text("1")
    newer = client.jobs.submit(model=model, targets=[NOBODY], name="Newer")
    expect(page.get_by_text("1 newer job: show")).to_be_visible()
    expect(rows.first).to_have_id(waits.id)
    expect(rows.first.locator("input[type=checkbox]")).to_be_checked()
    client.jobs.cancel(newer.id)
    page.get_by_text("1 newer job: show").click()
    expect(rows.first).to_have_id(newer.id)
    expect(rows.first.locator(".state").first).to_have_text("cancelled")


def test_ticked_jobs_are_cancelled_together(visitor: Visitor, client: Client, waits: JobView):
    page = visitor.open(f"/jobs?text={waits.id}")
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_disabled()
    page.locator("[data-select-all]").check()
    page.on("dialog", lambda dialog: dialog.accept())
    cancel.click()
    expect(page.locator(f"#{waits.id} .state").first).to_have_text("cancelled")
    assert client.jobs.get(waits.id).state is JobState.CANCELLED


def test_a_job_is_cancelled_and_built_again(visitor: Visitor, client: Client, waits: JobView):
    page = visitor.open(f"/jobs/{waits.id}")
    expect(page.locator("#summary")).to_contain_text("waits: ")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled")
    page.get_by_role("button", name="Retry what failed").click()
    expect(page.locator("h1 .state")).to_have_text("waiting")
    made = re.search(r"job_\w+", page.url)
    assert made is not None
    assert made[0] != waits.id
    client.jobs.cancel(made[0])
    expect(page.locator("h1 .state")).to_have_text("cancelled")  # told by the farm, not by this browser


def test_a_failed_build_shows_its_card_first(visitor: Visitor, missed: JobView):
    page = visitor.open(f"/builds/{missed.builds[0].id}")
    card = page.locator(".card.error")
    expect(card).to_contain_text("A gate was missed")
    expect(card).to_contain_text("What to do:")
    assert page.locator("main section.card").first.get_attribute("class") == "card error"
    card.locator(".log a.no").last.click()
    page.wait_for_url(re.compile(r"/log\?attempt=1&line=\d+#L\d+$"))
    expect(page.locator(".log .line:target")).to_be_visible()


def test_the_log_is_followed_searched_and_linked(visitor: Visitor, client: Client, model: str, seed: int):
    job = client.jobs.submit(model=model, targets=["onnxruntime:fp32"], seed=seed, name="Followed")
    build = job.builds[0].id
    page = visitor.open(f"/builds/{build}/log")
    expect(page.locator("h1 .state")).to_have_text("succeeded", timeout=180_000)
    lines = page.locator("#log .line")
    count = lines.count()
    assert count > 3
    assert count == client.builds.log_page(build).lines[-1].seq
    page.locator("[data-search]").fill("verify")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("text=verify"))
    assert 0 < lines.count() < count
    number = lines.first.locator("a.no")
    wanted = number.inner_text()
    number.click()
    expect(page.locator(f"#L{wanted}")).to_be_visible()
    assert lines.count() == count
    assert "verify" in page.locator(".log .line:target").inner_text()


def test_a_link_to_a_line_finds_it(visitor: Visitor, built: JobView):
    page = visitor.open(f"/builds/{built.builds[0].id}/log#L2")
    expect(page.locator(".log .line:target a.no")).to_have_text("2")


def test_two_builds_are_ticked_and_compared(visitor: Visitor, built: JobView):
    page = visitor.open(f"/jobs/{built.id}")
    compare = page.get_by_role("button", name="Compare")
    expect(compare).to_be_disabled()
    for box in page.locator(".matrix input[type=checkbox]").all():
        box.check()
    compare.click()
    expect(page.locator("h1")).to_have_text("Compare 2 builds")
    rows = page.locator("table.compare tbody tr")
    before = rows.count()
    page.get_by_role("link", name="Show everything").click()
    expect(page.get_by_role("link", name="Only differences")).to_be_visible()
    assert rows.count() > before


def test_a_file_is_fetched_and_is_what_its_hash_says(visitor: Visitor, built: JobView, tmp_path: Path):
    page = visitor.open(f"/builds/{built.builds[0].id}/files")
    row = page.locator("tbody tr", has_text="entry")
    sha256 = row.locator("[data-copy]").get_attribute("data-copy")
    with page.expect_download() as started:
        row.get_by_role("link", name="Download").click()
    file = tmp_path / "entry"
    started.value.save_as(file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == sha256


def test_layers_are_sorted_by_what_they_cost(visitor: Visitor, built: JobView):
    page = visitor.open(f"/builds/{built.builds[1].id}/layers")
    page.get_by_role("link", name="Time").click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text("Time")


def test_keys(visitor: Visitor, built: JobView):
    page = visitor.open(f"/jobs/{built.id}")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url(re.compile("/jobs$"))
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.type("?gj")  # somebody types: no key means anything else
    expect(page.locator("[data-search]")).to_have_value("?gj")
    expect(page.locator("#help")).to_be_hidden()


def test_light_or_dark_is_remembered(visitor: Visitor):
    page = visitor.open("/jobs")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme-switch").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_a_lost_connection_is_told_and_found_again(visitor: Visitor, client: Client, waits: JobView):
    visitor.expect("ERR_INTERNET_DISCONNECTED", "ERR_NETWORK")
    page = visitor.open(f"/jobs/{waits.id}")
    banner = page.locator("#connection")
    expect(banner).to_be_hidden()
    with page.expect_response(re.compile("/v1/events")):
        page.reload()
    visitor.context.set_offline(True)
    expect(banner).to_be_visible(timeout=60_000)
    client.jobs.cancel(waits.id)
    visitor.context.set_offline(False)
    expect(banner).to_be_hidden(timeout=60_000)
    expect(page.locator("h1 .state")).to_have_text("cancelled")  # what came meanwhile was not missed


def test_without_scripts_everything_can_be_read_and_done(
    visit: Callable[..., Visitor], client: Client, built: JobView, waits: JobView
):
    visitor = visit(java_script_enabled=False)
    page = visitor.open("/jobs")
    expect(page.get_by_text("Two engines").first).to_be_visible()
    page.locator("[data-search]").fill(waits.id)
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=waits.name).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled")
    page = visitor.open(f"/jobs/{built.id}")
    for box in page.locator(".matrix input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("h1")).to_have_text("Compare 2 builds")
