"""Pictures of every page in docs/screenshots, wide and narrow, light and dark; ``make screenshots`` takes them anew.

Without that, the tests look whether there is one of every page, and whether the README shows what is there.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from e2e.browser.conftest import NARROW, WIDE, Visitor, fits
from PIL import Image

from api.app import all_routes
from enginehouse.client import Client
from farm.embedded import EmbeddedFarm
from zoo import model_path

WRITE = os.environ.get("ENGINEHOUSE_TEST_SCREENSHOTS") == "write"
ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs/screenshots"
SCHEMES, SIZES = ("light", "dark"), (WIDE, NARROW)
TALLEST = 2400
QUALITY = 70

PAGES = {
    "submit": "/submit?model={model}",
    "jobs": "/jobs",
    "job": "/jobs/{job}",
    "auto": "/jobs/{auto}",
    "build": "/builds/{build}",
    "failed": "/builds/{failed}",
    "layers": "/builds/{build}/layers",
    "log": "/builds/{build}/log",
    "files": "/builds/{build}/files",
    "provenance": "/builds/{build}/provenance",
    "compare": "/compare?build={build}&build={other}",
    "models": "/models",
    "model": "/models/{model}",
    "graph": "/models/{model}/graph",
    "datasets": "/datasets",
    "dataset": "/datasets/{dataset}",
    "workers": "/workers",
    "farm": "/farm",
    "project": "/settings/project",
    "members": "/settings/members",
    "tokens": "/settings/tokens",
    "webhooks": "/settings/webhooks",
    "audit": "/settings/audit",
    "persons": "/settings/persons",
    "sign-in": "/sign-in",
    "openapi": "/openapi",
}
UNSEEN = {"/": "leads to jobs or submit", "/settings": "leads to the project's", "/account": "is a person's own",
          "/netron/": "is the frame of graph", "/pools": "leads to workers", "/sign-in/provider": "leads elsewhere",
          "/sign-in/provider/back": "leads on", "/settings/webhooks/<webhook>": "has its own test",
          "/settings/webhooks/<webhook>/deliveries/<delivery>": "has its own test"}  # fmt: skip


def file(name: str, size: dict[str, int], scheme: str) -> Path:
    return FOLDER / f"{name}-{size['width']}-{scheme}.webp"


def every() -> Iterator[tuple[str, dict[str, int], str]]:
    return ((name, size, scheme) for name in PAGES for size in SIZES for scheme in SCHEMES)


def test_every_page_is_pictured_or_said_why_not() -> None:
    rules = {route.rule for route in all_routes() if route.page and route.method == "GET" and "html" in route.produces}
    patterns = [re.sub(r"\\{\w+\\}|\{\w+\}", "<[a-z]+>", address.partition("?")[0]) for address in PAGES.values()]
    left = {rule for rule in rules if not any(re.fullmatch(pattern, rule) for pattern in patterns)}
    assert left == set(UNSEEN)


@pytest.mark.skipif(WRITE, reason="they are being taken")
def test_there_is_a_picture_of_each() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {file(*one).name for one in every()}


@pytest.mark.skipif(WRITE, reason="they are being taken")
def test_the_readme_shows_what_is_there() -> None:
    shown = re.findall(r"docs/screenshots/[\w.-]+", (ROOT / "README.md").read_text())
    assert shown
    assert all((ROOT / name).is_file() for name in shown)


@pytest.mark.skipif(not WRITE, reason="make screenshots")
@pytest.mark.timeout(1200)
def test_take_them(visit: Callable[..., Visitor], farm: EmbeddedFarm, tmp_path: Path) -> None:
    with Client(farm.url, farm.token) as client:
        found = worked(client, tmp_path)
    FOLDER.mkdir(exist_ok=True)
    for size in SIZES:
        for scheme in SCHEMES:
            visitor = visit(viewport=size, color_scheme=scheme)
            for name, address in PAGES.items():
                page = visitor.open(address.format(**found))
                page.wait_for_load_state("load")
                if name == "graph":
                    page.frame_locator("iframe").first.locator("#target .node").first.wait_for()
                assert fits(page), name
                shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
                shot.crop((0, 0, shot.width, min(shot.height, TALLEST))).save(
                    file(name, size, scheme), quality=QUALITY, method=6
                )


def worked(client: Client, folder: Path) -> dict[str, str]:
    """A farm that has been used: what the pages are of, by name."""
    model = client.models.push(model_path("ppocr-cls")).id
    samples = np.random.default_rng(5).uniform(-1, 1, (64, 1, 3, 48, 192)).astype(np.float32)
    np.savez(folder / "lines.npz", x=samples)
    dataset = client.datasets.push(folder / "lines.npz", name="lines-of-text").id
    shapes = {"x": (1, 3, 48, 192)}
    wanted = ["openvino:fp32", "openvino:fp16", "onnxruntime:fp32", "onnxruntime:fp16", "litert:fp16"]
    job = client.jobs.submit(
        model=model, targets=wanted, shapes=shapes, dataset=dataset, name="Text angle, every runtime"
    )
    auto = client.jobs.submit(
        model=model, targets=["auto"], shapes=shapes, dataset=dataset, name="Text angle, the best"
    )
    missed = client.jobs.submit(
        model=model, targets=["openvino:fp16"], shapes=shapes, gates={"min_speedup": 50.0}, name="Faster than can be"
    )
    job, auto, missed = (client.jobs.wait(one, timeout=600) for one in (job, auto, missed))
    return {
        "model": model, "dataset": dataset, "job": job.id, "auto": auto.id, "build": job.builds[1].id,
        "other": job.builds[2].id, "failed": missed.builds[0].id,
    }  # fmt: skip
