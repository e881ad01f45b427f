"""A real build's bundle verifies with the keys that the farm publishes, offline, and a changed one does not."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

from enginehouse.cli.exit_codes import ExitCode
from enginehouse.client import Client
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path

NOWHERE = "http://127.0.0.1:1"


def cli(url: str, token: str, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    environment = {**os.environ, "ENGINEHOUSE_URL": url, "ENGINEHOUSE_TOKEN": token}
    command = [str(Path(sys.executable).with_name("enginehouse")), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_the_bundle_of_a_real_build(farm: EmbeddedFarm, client: Client, seed: int, tmp_path: Path):
    model = client.models.push(model_path("ppocr-cls"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp16"], seed=seed, benchmark=False)
    (build,) = client.jobs.wait(job, timeout=240).builds
    assert build.failure is None
    out, keys = tmp_path / "out", tmp_path / "keys.pem"
    cli(farm.url, farm.token, "artifact", "get", str(build.artifact), "--out", str(out))
    keys.write_text(cli(farm.url, "", "artifact", "keys"))

    found = json.loads(cli(NOWHERE, "", "artifact", "verify", str(out), "--key", str(keys), "--json"))
    assert (found["ok"], found["artifact"]) == (True, build.artifact)
    predicate = found["statement"]["predicate"]
    assert predicate["buildDefinition"]["externalParameters"]["seed"] == seed
    assert predicate["runDetails"]["metadata"]["invocationId"] == f"{build.id}/1"
    named = {each["name"]: each["uri"] for each in predicate["buildDefinition"]["resolvedDependencies"]}
    assert named["model"].endswith(model.id)
    assert named["openvino"].startswith("pkg:pypi/openvino@")
    assert f"{out} is what the farm signed" in cli(farm.url, farm.token, "artifact", "verify", str(out))

    report = out / "report.json"
    report.write_bytes(report.read_bytes().replace(b'"agrees": true', b'"agrees":  true', 1))
    said = cli(NOWHERE, "", "artifact", "verify", str(out), "--key", str(keys), code=ExitCode.FAILED)
    assert "provenance.file_changed" in said
    assert f"{out} is NOT what the farm signed" in said


def test_the_farms_key_is_its_owners_alone_and_in_no_log(farm: EmbeddedFarm, client: Client):
    file = farm.home.path / "signing-key"
    assert file.stat().st_mode & 0o777 == 0o600
    secret = file.read_text().strip()
    forms = [secret.encode(), base64.b64encode(bytes.fromhex(secret))]
    for log in farm.home.folder("logs").iterdir():
        assert not any(form in log.read_bytes() for form in forms), log
    assert [view.current for view in client.keys().items] == [True]
