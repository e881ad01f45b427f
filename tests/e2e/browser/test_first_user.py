"""Somebody who has never seen the farm, in one window from signing in to a file whose hash is right."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from e2e.browser.conftest import Visitor
from playwright.sync_api import expect

from enginehouse.client import Client
from zoo import model_path

PASSWORD = "three words of hers"


def test_from_signing_in_to_a_file_whose_hash_is_right(
    visitor: Visitor, client: Client, seed: int, tmp_path: Path
) -> None:
    login = f"bo-{seed}"
    client.persons.create(login, name="Bo Lind", password=PASSWORD)
    client.members.put(login, "submitter")

    page = visitor.open("/sign-in?next=/submit")
    page.get_by_label("Name").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/submit$"))

    with page.expect_file_chooser() as chooser:
        page.locator("[data-upload=model]").get_by_role("button", name="Choose files").click()
    chooser.value.set_files(model_path("ppocr-cls"))
    page.wait_for_url(re.compile(r"/submit\?model=[0-9a-f]{64}$"))
    for name in ("openvino:fp32", "openvino:fp16"):
        page.locator(f"input[name=target][value='{name}']").check()
    page.get_by_label("Seed").fill(str(seed % 10_000))
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url(re.compile(r"/jobs/job_[0-9a-z]+$"))
    job = page.url.rpartition("/")[2]

    page.goto(f"{visitor.origin}/builds/{client.jobs.get(job).builds[1].id}/log")
    expect(page.locator("#log")).to_contain_text("compile", timeout=180_000)  # it grows by itself
    expect(page.locator("h1 .state")).to_have_text("succeeded", timeout=180_000)

    page.goto(f"{visitor.origin}/jobs/{job}")
    for box in page.locator(".matrix input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("h1")).to_have_text("Compare 2 builds")

    built = client.jobs.get(job).builds[1]
    page.goto(f"{visitor.origin}/builds/{built.id}/files")
    manifest = client.artifacts.get(str(built.artifact)).manifest
    for file in manifest.files:
        row = page.locator("tbody tr").filter(has=page.get_by_text(file.path, exact=True))
        with page.expect_download() as started:
            row.get_by_role("link", name="Download").click()
        fetched = tmp_path / "fetched"
        started.value.save_as(fetched)
        assert hashlib.sha256(fetched.read_bytes()).hexdigest() == file.sha256, file.path
