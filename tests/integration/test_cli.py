"""The command line and the SDK against the real API under gunicorn; a thread stands in for a worker's hands."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import pytest
import structlog
from integration.api.support import ADMIN, WORKER, make_settings
from integration.scheduler.clock import pass_time
from integration.scheduler.farmhand import Farmhand, let_leases_end, skip_backoff, tick
from onnx import TensorProto, helper, numpy_helper
from services.process import free_port, running, wait_until
from services.redis import RedisServer
from services.s3 import S3Bucket
from unit.samples.made import picture

from enginehouse import Client, errors
from enginehouse.bundle import BundleFile, Manifest, canonical_json
from enginehouse.cli import run
from enginehouse.errors import UnsupportedOperator
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.sources import BytesSource
from enginehouse.states import BuildState, JobState, Phase
from enginehouse.transfer import hashed, upload
from enginehouse.views import Event
from enginehouse.work import Complete, LogBatch, PhaseUpdate, PublishFile, PublishRequest, WorkLogLine
from scheduler import attempts, tokens
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import Base, Build
from scheduler.retention import run as retention

MIB = 1024**2


def model_bytes(weight: float = 2.0, external: str | None = None, size: int = 4) -> bytes:
    tensor = numpy_helper.from_array(np.full(size, weight, dtype=np.float32), "w")
    if external is not None:
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[size], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=external)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, size])],
        [tensor],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


@dataclass
class Live:
    """A served farm, its registry beside it, and the ways to ask it."""

    url: str
    farm: Farm
    home: Path
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    faults: list[BaseException] = field(default_factory=list)

    def env(self, token: str = ADMIN) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("ENGINEHOUSE_")}
        return env | {"ENGINEHOUSE_URL": self.url, "ENGINEHOUSE_TOKEN": token, "ENGINEHOUSE_HOME": str(self.home)}

    def start(self, *arguments: str, token: str = ADMIN) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-m", "enginehouse", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=self.env(token), cwd=self.home)

    def run(self, *arguments: str, status: int = 0, token: str = ADMIN) -> tuple[str, str]:
        """In this process, which saves starting one; ``start`` makes a real one."""
        before, folder = dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update(self.env(token))
        os.chdir(self.home)
        out, err = io.StringIO(), io.StringIO()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                found = run(arguments)
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)
        assert found == status, (found, out.getvalue(), err.getvalue())
        return out.getvalue(), err.getvalue()

    def json(self, *arguments: str, **more: Any) -> Any:
        return json.loads(self.run(*arguments, "--json", **more)[0])

    def client(self) -> Client:
        return Client(self.url, ADMIN)

    def worker(self, do: Callable[[Farmhand, str], object] | None = None) -> None:
        """Hands that take every dispatched build: by default a log, two phases and an artifact."""
        hand = Farmhand(self.farm)

        def work() -> None:
            seen: set[str] = set()
            try:
                with self.client() as client:
                    while not self.stop.is_set():
                        tick(self.farm)
                        found = [b for j in client.jobs.list().items for b in j.builds]
                        for build in found:
                            if build.state is BuildState.DISPATCHED and build.id not in seen:
                                seen.add(build.id)
                                (do or make_it)(hand, build.id)
                        self.stop.wait(0.02)
            except BaseException as error:  # noqa: BLE001 - told by the fixture
                self.faults.append(error)

        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()


def make_it(hand: Farmhand, build: str) -> None:
    claim = hand.claim(build)
    for number, phase in enumerate((Phase.IMPORT, Phase.COMPILE), 1):
        attempts.phase(hand.farm, build, PhaseUpdate(fence=claim.fence, phase=phase))
        line = WorkLogLine(seq=number, time=datetime.now(UTC), text=f"now {phase} \x1b[31mred\x1b[0m")
        attempts.log(hand.farm, build, LogBatch(fence=claim.fence, lines=[line]))
    hand.complete(claim, b"an engine of " + build.encode())


@contextmanager
def serving(folder: Path, redis_url: str, **store: str) -> Iterator[tuple[str, Farm]]:
    """A real API under gunicorn on a registry of its own, and the same farm in this process."""
    database, port = f"sqlite:///{folder / 'registry.db'}", free_port()
    settings = make_settings(database, folder, broker_url=redis_url, max_upload_bytes=256 * MIB, **store)
    upgrade(database)
    farm = Farm(settings)
    tokens.bootstrap(farm)
    # The farm's services run in this process too; what they log is none of the command line's output.
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    url = f"http://127.0.0.1:{port}"
    env = {key: value for key, value in os.environ.items() if not key.startswith("ENGINEHOUSE_")} | {
        "ENGINEHOUSE_DATA_DIR": str(folder),
        "ENGINEHOUSE_DATABASE_URL": database,
        "ENGINEHOUSE_BROKER_URL": redis_url,
        "ENGINEHOUSE_SECRET_KEY": settings.secret_key.get_secret_value(),
        "ENGINEHOUSE_SIGNING_KEY": "5" * 64,
        "ENGINEHOUSE_MAX_UPLOAD_BYTES": str(settings.max_upload_bytes),
        "ENGINEHOUSE_BIND": f"127.0.0.1:{port}",
        **{f"ENGINEHOUSE_{name.upper()}": value for name, value in store.items()},
    }

    def ready() -> bool:
        try:
            return httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    with running([sys.executable, "-m", "api"], folder / "api.log", ready=ready, env=env):
        yield url, farm
    structlog.configure(**before)
    farm.dispose()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[tuple[str, Farm]]:
    """One gunicorn for all tests here."""
    with serving(tmp_path_factory.mktemp("farm"), redis_server.url) as found:
        yield found


@pytest.fixture
def live(tmp_path: Path, served: tuple[str, Farm]) -> Iterator[Live]:
    """The farm as new: tokens and projects are all that it knows."""
    url, farm = served
    with farm.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name not in {"projects", "tokens"}:
                session.execute(table.delete())
    home = tmp_path / "home"
    home.mkdir()
    made = Live(url, farm, home)
    yield made
    made.stop.set()
    for thread in made.threads:
        thread.join(30)
    assert not made.faults


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "net.onnx"
    file.write_bytes(model_bytes())
    return file


def test_from_a_file_to_proven_artifacts(live: Live, model: Path, tmp_path: Path) -> None:
    live.worker()
    out, err = live.run(
        "submit", str(model), "-t", "openvino:fp16", "--target", "openvino:fp32", "--out", str(tmp_path / "out")
    )
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][:3] == ["target", "state", "origin"]
    assert [row[:3] for row in rows[1:]] == [
        ["openvino:fp16", "succeeded", "built"],
        ["openvino:fp32", "succeeded", "built"],
    ]
    assert "openvino:fp16: running (compile)" in err.splitlines()
    assert "uploading net.onnx: 100% of" in err
    for name in ("openvino-fp16", "openvino-fp32"):
        assert (tmp_path / "out" / name / "model.xml").read_bytes().startswith(b"an engine of build_")
        assert (tmp_path / "out" / name / "manifest.json").is_file()
    # Again: from the cache, at once, and the model is not sent.
    out, err = live.run("submit", str(model), "-t", "openvino:fp16", "-q")
    assert out.splitlines()[1].split()[:3] == ["openvino:fp16", "succeeded", "cache"]
    assert err == ""


def test_a_target_with_constraints_over_the_facts_that_are_shown(live: Live, model: Path, tmp_path: Path) -> None:
    live.worker()
    facts = live.json("worker", "list")["items"][0]["facts"]
    assert (facts["cpu.cores"], facts["memory_gb"]) == (2, 1)
    target = "openvino:fp16@cpu.cores>=2+openvino>=2026.4"
    gate, wanted = f"{target}.max_bytes=1000000", ("-t", "openvino:fp16@OpenVINO >= 2026.4.0 + cpu.cores >= 02")
    job = live.json("submit", str(model), *wanted, "--gate", gate, "--out", str(tmp_path / "out"))
    build = job["builds"][0]
    assert (build["state"], build["gates"]["max_bytes"]) == ("succeeded", 1_000_000)
    assert build["target"]["requires"] == ["cpu.cores>=2", "openvino>=2026.4"]
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["openvino-fp16-cpu.cores-2-openvino-2026.4"]
    _, err = live.run("submit", str(model), "-t", "openvino:fp16@cpu.cores=>2", status=2)
    assert "target.invalid_constraint" in err
    assert "at character 10, '=>' is no operator; '>=' is one" in err


def test_json_is_the_apis_own_and_nothing_else(live: Live, model: Path) -> None:
    live.worker()
    pushed = live.json("model", "push", str(model), "--name", "Net")
    assert (pushed["name"], pushed["signature"]["operators"]) == ("Net", {"Mul": 1})
    job = live.json(
        "submit", pushed["id"][:10], "-t", "openvino:fp16", "--name", "first", "--gate", "max_bytes=1000000"
    )
    assert (job["state"], job["name"], job["gates"]["max_bytes"]) == ("succeeded", "first", 1_000_000)
    build = job["builds"][0]
    with httpx2.Client(base_url=live.url, headers={"Authorization": f"Bearer {ADMIN}"}, trust_env=False) as http:

        def api(path: str) -> Any:
            return http.get(path).json()

        assert live.json("job", "show", job["id"]) == api(f"/v1/jobs/{job['id']}") == job
        assert live.json("job", "wait", job["id"]) == job
        assert live.json("job", "list") == api("/v1/jobs")
        assert live.json("job", "list", "--state", "failed")["items"] == []
        assert live.json("model", "inspect", pushed["id"]) == api(f"/v1/models/{pushed['id']}") == pushed
        assert live.json("model", "targets", pushed["id"]) == api(f"/v1/models/{pushed['id']}/targets")
        assert live.json("model", "list", "--limit", "1") == api("/v1/models?limit=1")
        assert live.json("artifact", "list", "--model", pushed["id"][:8]) == api("/v1/artifacts")
        artifact = api(f"/v1/artifacts/{build['artifact']}")
        assert live.json("artifact", "get", build["artifact"][:12], "--out", "got") == artifact
        assert live.json("worker", "list")["items"][0]["name"] == api("/v1/workers")["items"][0]["name"]
        assert live.json("dataset", "list") == api("/v1/datasets")
    assert (live.home / "got" / "model.xml").is_file()
    lines = [json.loads(line) for line in live.run("job", "logs", build["id"], "--json")[0].splitlines()]
    assert [line["text"] for line in lines] == ["now import \x1b[31mred\x1b[0m", "now compile \x1b[31mred\x1b[0m"]


def test_tables_and_logs_for_people_hold_no_terminal_control(live: Live, model: Path) -> None:
    live.worker()
    with live.client() as client:
        pushed = client.models.push(model, name="\x1b]0;owned\x07[red]evil\x9b2J")
        job = client.jobs.submit(model=pushed.id, targets=["openvino:fp16"], name="\x1b[31mjob")
        client.jobs.wait(job, timeout=30)
    outputs = [
        live.run("model", "list")[0],
        live.run("model", "inspect", pushed.id)[0],
        live.run("job", "list")[0],
        live.run("job", "show", job.id)[0],
        live.run("job", "logs", job.id)[0],
        live.run("artifact", "list")[0],
        live.run("worker", "list")[0],
    ]
    assert not [
        char for text in outputs for char in text if (ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160
    ]
    assert "[red]evil" in outputs[0]
    assert outputs[4].splitlines() == ["now import red", "now compile red"]
    assert re.search(r"one +online +\d/1 +cpu-test-2c", outputs[6])


def test_a_job_can_be_left_and_taken_up_again(live: Live, model: Path) -> None:
    live.run("job", "wait", "job_nothing", status=4)
    Farmhand(live.farm)  # announces openvino; nobody takes the build yet
    out, err = live.run("submit", str(model), "-t", "openvino:fp16", "--no-wait", "-q")
    job = out.strip()
    assert re.fullmatch(r"job_[0-9a-z]+", job)
    assert err == ""
    out, err = live.run("job", "wait", job, "--timeout", "0.3", status=8)
    assert f"enginehouse job wait {job}" in err
    process = live.start("job", "wait", job)
    assert process.stderr is not None
    wait_until(lambda: bool(psutil.Process(process.pid).net_connections()), 15, "it listens to the farm")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"Job {job} goes on" in err
    assert f"enginehouse job cancel {job}" in err
    assert "Traceback" not in err
    with live.client() as client:
        assert client.jobs.get(job).state is JobState.WAITING
    assert live.run("job", "cancel", job)[0] == f"{job} is cancelled\n"
    live.run("job", "wait", job, status=7)


def test_builds_are_compared_by_job_and_target_by_id_and_by_artifact(live: Live, model: Path) -> None:
    live.worker()
    job = live.json("submit", str(model), "-t", "openvino:fp32", "-t", "openvino:fp16", "-q")
    whole, half = job["builds"]
    found = live.json("compare", job["id"])
    with live.client() as client:
        assert client.builds.compare([whole["id"], half["id"]]).model_dump(mode="json") == found
    assert live.json("compare", f"{job['id']}:openvino:fp32", half["artifact"][:12]) == found
    assert [side["build"] for side in live.json("compare", half["id"], whole["id"])["builds"]] == [
        half["id"],
        whole["id"],
    ]
    table = live.run("compare", job["id"])[0]
    assert re.search(r"A +build_\w+ +openvino:fp32", table)
    assert re.search(r"target.precision +fp32 +fp16", table)
    assert re.search(r"max_abs_error of y +0.5 +0.5 \(1x\)", table)
    live.run("compare", whole["id"], status=2)
    _, err = live.run("compare", f"{job['id']}:openvino:int8", half["id"], status=2)
    assert f"openvino:fp16 ({half['id']})" in err
    assert "request.not_found" in live.run("compare", "build_none", half["id"], status=4)[1]


def test_a_build_that_has_no_report_yet_cannot_be_compared(live: Live, model: Path) -> None:
    Farmhand(live.farm)
    job = live.json("submit", str(model), "-t", "openvino:fp32", "-t", "openvino:fp16", "--no-wait", "-q")
    _, err = live.run("compare", *(build["id"] for build in job["builds"]), status=3)
    assert "Error request.no_report" in err
    live.run("compare", job["id"], status=2)


def test_the_request_of_a_bundle_is_submitted_again(live: Live, model: Path, tmp_path: Path) -> None:
    live.worker()
    options = ("--option", "threads=1", "--seed", "7", "--no-benchmark")
    first = live.json("submit", str(model), "-t", "openvino:fp16@cpu", *options, "-q")
    with live.farm.read() as session:
        recipe = Recipe.model_validate(session.get_one(Build, first["builds"][0]["id"]).recipe)
    request = tmp_path / "request.json"
    request.write_bytes(canonical_json(recipe.model_dump(mode="json")))  # as a real bundle has it
    again = live.json("submit", "--request", str(request), "--gate", "min_cosine=0.5", "-q")
    assert again["builds"][0]["target"] == first["builds"][0]["target"]
    assert again["builds"][0]["origin"] == "cache"
    assert again["gates"]["min_cosine"] == 0.5
    assert live.json("submit", str(model), "--request", str(request), "-q")["model"] == first["model"]
    for more in (["-t", "openvino:fp32"], ["--seed", "8"], ["--benchmark"], ["--shape", "x=1,4"]):
        assert "leave the option out" in live.run("submit", "--request", str(request), *more, status=2)[1]
    model.write_bytes(model_bytes(3.0))
    assert "is not the model of" in live.run("submit", str(model), "--request", str(request), "-q", status=2)[1]
    request.write_text('{"model": 1}')
    assert "cannot be read" in live.run("submit", "--request", str(request), status=2)[1]
    assert "Name what to build" in live.run("submit", str(model), status=2)[1]
    assert "Name the MODEL" in live.run("submit", "-t", "openvino:fp16", status=2)[1]


def test_a_failed_build_says_why(live: Live, model: Path) -> None:
    def fail(hand: Farmhand, build: str) -> None:
        hand.fail(hand.claim(build), UnsupportedOperator("operator 'If' (node \x1b[31mx)", operator="If").failure())

    live.worker(fail)
    out, err = live.run("submit", str(model), "-t", "openvino:fp16", status=1)
    assert "failed" in out
    assert "build.unsupported_operator: operator 'If' (node x)" in err
    assert "Export the model without the named operator" in err
    out, err = live.run("submit", str(model), "-t", "openvino:fp16", "--json", status=1)
    assert json.loads(out)["builds"][0]["failure"]["code"] == "build.unsupported_operator"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"random bytes", "model.unreadable"), (model_bytes()[:-20], "model.unreadable"), (b"", "model.unreadable")],
)
def test_what_is_no_model_is_refused(live: Live, tmp_path: Path, content: bytes, code: str) -> None:
    file = tmp_path / "bad.onnx"
    file.write_bytes(content)
    _, err = live.run("submit", str(file), "-t", "openvino:fp16", status=3)
    assert f"Error {code}" in err
    assert "request: " in err


def test_external_data_goes_along_and_cannot_reach_out(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(model_bytes(external="weights/w.bin"))
    _, err = live.run("model", "push", str(file), "-q", status=3)
    assert "Error model.external_data_missing" in err
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/w.bin").write_bytes(np.ones(4, dtype=np.float32).tobytes())
    pushed = live.json("model", "push", str(file), "-q")
    assert [entry["path"] for entry in pushed["files"]] == ["net.onnx", "weights/w.bin"]
    assert live.json("model", "push", str(file), "-q") == pushed
    file.write_bytes(model_bytes(external="../../etc/passwd"))
    _, err = live.run("model", "push", str(file), "-q", status=3)
    assert "Error model.external_data_outside" in err


def test_the_farm_names_external_data_that_a_client_without_onnx_could_not_find(live: Live) -> None:
    with live.client() as client:
        with pytest.raises(errors.ExternalDataMissing):
            client.models.push(model_bytes(external="w.bin"))
        with pytest.raises(errors.ExternalDataOutside):
            client.models.push(model_bytes(external="../../etc/passwd"))


def test_a_downloaded_artifact_is_verified(live: Live, model: Path, tmp_path: Path) -> None:
    live.worker()
    job = live.json("submit", str(model), "-t", "openvino:fp16")
    artifact, out, keys = job["builds"][0]["artifact"], tmp_path / "out", tmp_path / "keys"
    live.run("artifact", "get", artifact, "--out", str(out))
    keys.write_text(live.run("artifact", "keys", token="")[0])
    offline = ["--url", "http://127.0.0.1:1", "artifact", "verify", str(out), "--key", str(keys)]
    said, _ = live.run(*offline)
    assert [line.split(":")[0] for line in said.splitlines()[:-1]] == [
        "ok      signature",
        "ok      statement",
        "ok      manifest",
        "ok      file model.xml",
        "ok      nothing else",
    ]
    found = live.json("artifact", "verify", str(out / "manifest.json"))
    assert (found["ok"], found["artifact"], found["folder"]) == (True, artifact, str(out))
    assert found["key"] == live.json("artifact", "keys")["items"][0]["id"]
    (out / "model.xml").write_bytes(b"another engine")
    said, _ = live.run(*offline, status=1)
    assert "not ok  file model.xml" in said
    assert "provenance.file_changed" in said
    assert "is NOT what the farm signed" in said
    (tmp_path / "none").write_text("nothing")
    _, told = live.run("artifact", "verify", str(out), "--key", str(tmp_path / "none"), status=2)
    assert "no public key" in told
    live.run("artifact", "verify", str(tmp_path / "nowhere"), "--key", str(keys), status=9)
    live.run("--url", "http://127.0.0.1:1", "artifact", "verify", str(out), status=6)


def test_datasets(live: Live, model: Path, tmp_path: Path) -> None:
    live.worker()
    np.savez(tmp_path / "faces.npz", x=np.zeros((3, 1, 4), dtype=np.float32))
    assert live.run("dataset", "push", str(tmp_path / "faces.npz"))[0] == "faces@1\n"
    np.savez(tmp_path / "more.npz", x=np.ones((3, 1, 4), dtype=np.float32))
    assert live.run("dataset", "push", str(tmp_path / "more.npz"), "--name", "faces")[0] == "faces@2\n"
    assert live.run("dataset", "push", str(tmp_path / "more.npz"), "--name", "Bad Name", status=3)[1]
    assert [line.split()[0] for line in live.run("dataset", "list")[0].splitlines()[1:]] == ["faces@2", "faces@1"]
    assert live.json("submit", str(model), "-t", "openvino:fp16", "--dataset", "faces@1", "-q")["dataset"] == "faces@1"
    assert live.run("submit", str(model), "-t", "openvino:fp16", "--dataset", "none", status=4)[1]
    assert "faces@2" in live.run("dataset", "show", "faces")[0]
    shown = live.json("dataset", "show", "faces@1")
    assert shown == live.json("dataset", "list", "--limit", "200")["items"][1]
    assert shown["statistics"]["x"]["zeros"] == 1


def test_a_folder_of_pictures_is_a_dataset(live: Live, tmp_path: Path) -> None:
    folder = tmp_path / "Photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture()[0])
    (folder / "b.png").write_bytes(picture(seed=1)[0])
    options = (
        "--name",
        "photos",
        "--input",
        "x",
        "--size",
        "4x5",
        "--resize",
        "crop",
        "--mean",
        "1,2,3",
        "--scale",
        "2",
    )
    pushed = live.json("dataset", "push", str(folder), *options, "-q")
    assert (pushed["kind"], pushed["samples"], pushed["version"], pushed["labels"]) == ("images", 2, 1, False)
    assert pushed["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 3, 4, 5]}]
    (folder / ".DS_Store").write_bytes(b"litter")
    assert live.run("dataset", "push", str(folder), *options, "-q")[0] == "photos@1\n"
    assert live.run("dataset", "push", str(folder), "--name", "photos", "--input", "y", "-q")[0] == "photos@2\n"
    table = live.run("dataset", "show", "photos@2")[0]
    assert "images, 2 samples, without labels" in table
    assert "[1, 3, 6, 8]" in table
    assert "Error dataset.unreadable" in live.run("dataset", "push", str(folder), "--name", "p", "-q", status=3)[1]
    assert "--input NAME" in live.run("dataset", "push", str(folder), "--size", "4x4", "-q", status=2)[1]


def test_workers_pools_and_the_farm_are_controlled(live: Live, model: Path) -> None:
    hand = Farmhand(live.farm)
    pool = hand.signed_on.pool
    assert live.run("worker", "pause", "one", "--reason", "new disks")[0] == "one is paused; 0 busy\n"
    assert "online, paused" in live.run("worker", "list")[0]
    assert live.json("worker", "resume", "one")["mode"] == "open"
    assert live.run("worker", "drain", "one", "--leave")[0] == "one is leaving; 0 busy\n"
    live.run("worker", "resume", "one")
    assert live.run("pool", "pause", pool, "--reason", "a new driver")[0] == f"{pool} is paused; 0 busy\n"
    job = live.run("submit", str(model), "-t", "openvino:fp16", "--no-wait", "-q")[0].strip()
    assert f"pool {pool} is paused: a new driver" in live.run("job", "show", job)[0]
    header, row = live.run("pool", "list")[0].splitlines()
    assert header.split() == ["pool", "mode", "workers", "busy", "waiting", "backends"]
    assert row.split() == [pool, "paused", "(a", "new", "driver)", "1", "0/1", "1", "openvino"]
    assert live.json("pool", "resume", pool)["mode"] == "open"
    assert live.run("admin", "maintenance")[0] == "not in maintenance\n"
    said = live.run("admin", "maintenance", "on", "--reason", "the store moves")[0]
    assert "in maintenance since" in said
    assert "the store moves" in said
    assert live.json("admin", "maintenance", "show")["on"]
    live.run("admin", "maintenance", "off")
    assert live.run("worker", "pause", "two", status=4)[1].startswith("Error request.not_found: there is no worker two")


def test_what_failed_is_retried_cloned_and_put_elsewhere_in_the_line(live: Live, model: Path) -> None:
    Farmhand(live.farm)
    job = live.run("submit", str(model), "-t", "openvino:fp16", "--no-wait", "-q", "--name", "net")[0].strip()
    assert live.run("job", "priority", job, "high")[0] == f"{job} has the priority high\n"
    live.run("job", "cancel", job)
    again = live.run("job", "retry", job, "--elsewhere")[0].strip()
    build = live.json("job", "show", job)["builds"][0]["id"]
    assert f"in the place of {build} (cancelled)" in live.json("job", "show", again)["builds"][0]["note"]
    assert live.json("job", "retry", build)["builds"][0]["note"] == f"in the place of {build} (cancelled)"
    plain = live.json("job", "clone", job)
    assert (plain["name"], plain["priority"], len(plain["builds"])) == ("net", "high", 1)
    other = live.json(
        *("job", "clone", job, "-t", "openvino:fp32", "-t", "openvino:fp16", "--option", "threads=2", "--seed", "5"),
        *("--gate", "min_cosine=0.9", "--time-limit", "5m", "--priority", "low", "--ladder", "--name", "net 2"),
    )
    assert [build["target"]["options"] for build in other["builds"]] == [{"threads": 2}] * 2
    assert [build["target"]["precision"] for build in other["builds"]] == ["fp32", "fp16"]
    assert (other["limits"]["time_s"], other["limits"]["memory_mb"]) == (300, 8192)
    assert (other["priority"], other["ladder"], other["name"]) == ("low", True, "net 2")
    assert other["gates"]["min_cosine"] == 0.9
    tuned = live.json("job", "clone", job, "--option", "openvino.threads=3", "--memory-limit", "2G")
    assert [build["target"]["options"] for build in tuned["builds"]] == [{"threads": 3}]
    assert (tuned["limits"]["time_s"], tuned["limits"]["memory_mb"]) == (3600, 2048)
    assert "target.unknown_precision" in live.run("job", "clone", job, "-t", "openvino:fp17", status=2)[1]
    assert "no build of job" in live.run("job", "retry", again, status=3)[1]


def test_quarantine_is_listed_and_released(live: Live, model: Path) -> None:
    hand = Farmhand(live.farm)
    job = live.run("submit", str(model), "-t", "openvino:fp16", "--no-wait", "-q")[0].strip()
    build = live.json("job", "show", job)["builds"][0]["id"]
    for _ in range(live.farm.settings.max_attempts):
        skip_backoff(live.farm)
        tick(live.farm)
        hand.claim(build)
        let_leases_end(live.farm)
        hand.beat()
        tick(live.farm)
    _, err = live.run("submit", str(model), "-t", "openvino:fp16", "-q", status=1)
    assert "farm.quarantined" in err
    assert build in err
    rows = [line.split() for line in live.run("admin", "quarantine")[0].splitlines()]
    assert rows[1][0] == build
    assert rows[1][4:6] == ["farm.worker_lost", "one"]
    assert [item["build"] for item in live.json("admin", "quarantine")["items"]] == [build]
    assert live.run("admin", "release", build)[0] == f"{build} is released\n"
    assert live.json("admin", "quarantine")["items"] == []
    live.run("admin", "release", build, status=4)
    assert live.json("job", "retry", job)["builds"][0]["state"] == "waiting"


def test_refusals(live: Live, model: Path) -> None:
    live.worker()
    _, err = live.run("submit", str(model), "-t", "nothing:fp16", status=3)
    assert "Error target.unknown_backend" in err
    live.run("submit", str(model), "-t", "openvino:int4", status=3)
    live.run("submit", str(model), "-t", "openvino:fp16", "--option", "nothing=1", status=3)
    live.run("submit", "f" * 64, "-t", "openvino:fp16", status=4)
    live.run("submit", "abcdef", "-t", "openvino:fp16", status=4)
    live.run("artifact", "get", "f" * 64, status=4)
    live.run("job", "show", "job_nothing", status=4)


def test_tokens(live: Live) -> None:
    live.run("job", "list", token="eh_wrong", status=5)
    live.run("job", "list", token=WORKER, status=5)
    out, err = live.run("token", "create", "laptop", "--scope", "read", "--expires-days", "30")
    secret = out.strip()
    assert "not shown again" in err
    live.run("job", "list", token=secret)
    live.run("token", "list", token=secret, status=5)
    listed = live.json("token", "list")["items"]
    assert [token["scopes"] for token in listed if token["name"] == "laptop"] == [["read"]]
    assert secret not in json.dumps(listed)
    assert live.run("token", "list")[0].count("laptop") == 1
    live.run("token", "revoke", next(token["id"] for token in listed if token["name"] == "laptop"))
    live.run("job", "list", token=secret, status=5)
    assert live.json("token", "create", "ci")["scopes"] == ["read", "submit"]


def test_doctor(live: Live) -> None:
    out, _ = live.run("doctor", status=6)
    assert "not ok  workers: none is online" in out
    Farmhand(live.farm)
    found = live.json("doctor")
    assert found["ok"]
    assert {"python", "address", "farm", "version", "token", "workers"} <= {check["name"] for check in found["checks"]}
    assert "openvino:fp16" in live.run("doctor")[0]
    assert "not ok  token" in live.run("doctor", token="eh_wrong", status=5)[0]


def test_lists_go_on_where_they_ended(live: Live) -> None:
    with live.client() as client:
        ids = [client.models.push(model_bytes(float(n))).id for n in range(3)]
        page = client.models.list(limit=2)
        assert page.next is not None
        rest = client.models.list(limit=2, after=page.next)
        assert [item.id for item in (*page.items, *rest.items)] == ids[::-1]
        assert rest.next is None
    _, err = live.run("model", "list", "--limit", "2")
    assert f"--after {page.next}" in err


def test_the_readers_end_is_no_traceback(live: Live, model: Path) -> None:
    live.run("model", "push", str(model), "-q")
    process = live.start("model", "list", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_upload_in_parts_is_taken_up_after_a_kill(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "big.onnx"
    file.write_bytes(model_bytes(size=15 * MIB))  # 60 MiB: four parts
    program = (
        "import os, signal, sys; from enginehouse import Client, client\n"
        "client.DIRECT_BYTES = 0\n"
        "def tell(stage, done, total):\n"
        "    print(stage, done, flush=True)\n"
        "    if stage == 'upload' and done >= int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "print(Client().models.push(sys.argv[1], progress=tell).id)\n"
    )

    def push(kill_at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, str(file), str(kill_at)]
        return subprocess.run(command, env=live.env(), capture_output=True, text=True, timeout=120, check=False)

    assert push(58 * MIB).returncode == -signal.SIGKILL
    done = push(10**12)
    assert done.returncode == 0, done.stderr
    *told, identifier = done.stdout.split("\n")[:-1]
    sent = [int(line.split()[1]) for line in told if line.startswith("upload")]
    assert min(sent) > 16 * MIB, "at least one whole part was not sent again"
    with live.client() as client:
        view = client.models.get(identifier)
        assert view.size == file.stat().st_size
        # Those bytes again: nothing is sent.
        assert client.models.push(file) == view


def test_other_bytes_than_declared_are_refused(live: Live) -> None:
    with live.client() as client:
        data = os.urandom(1000)
        source = BytesSource(path="x", data=data, size=len(data))
        assert upload(client.connection, source, hashed(source)).state == "complete"
        other = BytesSource(path="x", data=data[::-1], size=len(data))
        with pytest.raises(errors.DigestMismatch):
            upload(client.connection, other, "0" * 64)
        empty = BytesSource(path="x", data=b"", size=0)
        assert upload(client.connection, empty, hashed(empty)).state == "complete"


def test_the_end_is_noticed_by_the_stream(live: Live, model: Path) -> None:
    hand = Farmhand(live.farm)
    with live.client() as client:
        job = client.jobs.submit(model=client.models.push(model).id, targets=["openvino:fp16"])
        tick(live.farm)
        claim = hand.claim(job.builds[0].id)
        kinds: list[str] = []

        def heard(event: Event) -> None:
            if not kinds:  # the stream is open: what follows comes through it
                hand.complete(claim)
            kinds.append(event.kind)

        view = client.jobs.wait(job, timeout=60, on_event=heard)
    assert view.state is JobState.SUCCEEDED
    assert kinds[0] == "job.created"
    assert kinds[-1] == "job.succeeded"


def test_the_same_key_is_the_same_job(live: Live, model: Path) -> None:
    Farmhand(live.farm)
    with live.client() as client:
        pushed = client.models.push(model)
        fields: dict[str, Any] = {"model": pushed.id, "targets": ["openvino:fp16"]}
        first = client.jobs.submit(**fields, idempotency_key="k1")
        assert client.jobs.submit(**fields, idempotency_key="k1").id == first.id
        assert client.jobs.submit(**fields).id != first.id
        with pytest.raises(errors.UnknownPrecision):
            client.jobs.submit(model=pushed.id, targets=["openvino:fp99"])
        with pytest.raises(errors.RequestError, match="targets"):
            client.jobs.submit(model=pushed.id, targets=[])


def test_following_a_log_ends_with_the_build(live: Live, model: Path) -> None:
    hand = Farmhand(live.farm)
    with live.client() as client:
        job = client.jobs.submit(model=client.models.push(model).id, targets=["openvino:fp16"])
        process = live.start("job", "logs", "--follow", job.builds[0].id)
        time.sleep(0.5)
        tick(live.farm)
        make_it(hand, job.builds[0].id)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines() == ["now import red", "now compile red"]


def test_where_the_store_is_s3_the_bytes_go_there_and_the_token_does_not(
    tmp_path: Path, redis_url: str, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enginehouse.client.DIRECT_BYTES", 0)
    file = tmp_path / "net.onnx"
    file.write_bytes(model_bytes(size=5 * MIB))  # 20 MiB: two parts
    store = {
        "store": s3.store,
        "s3_endpoint": s3.endpoint,
        "s3_access_key": s3.access_key,
        "s3_secret_key": s3.secret_key,
    }
    with serving(tmp_path, redis_url, **store) as (url, farm), Client(url, ADMIN) as client:
        sent: list[httpx2.Request] = []
        build_request = httpx2.Client.build_request

        def spy(self: httpx2.Client, *args: Any, **more: Any) -> httpx2.Request:
            sent.append(build_request(self, *args, **more))
            return sent[-1]

        monkeypatch.setattr(httpx2.Client, "build_request", spy)
        pushed = client.models.push(file)
        hand = Farmhand(farm)
        job = client.jobs.submit(model=pushed.id, targets=["openvino:fp16"])
        tick(farm)
        claim = hand.claim(job.builds[0].id)
        content = os.urandom(3 * MIB)
        digest = hashlib.sha256(content).hexdigest()
        wanted = PublishFile(sha256=digest, size=len(content), parts=[digest])
        (slot,) = attempts.publish(farm, claim.build, PublishRequest(fence=claim.fence, files=[wanted])).slots
        put = httpx2.put(slot.parts[0].url, content=content, headers=slot.parts[0].headers, trust_env=False)
        assert put.status_code == 200
        entry = BundleFile(path="model.bin", sha256=digest, size=len(content), role="model")
        manifest = Manifest(
            model=pushed.id,
            target=claim.recipe.target,
            entry="model.bin",
            runtime={},
            hardware_class="cpu-test-2c",
            files=[entry],
        )
        report = Report(model=pushed.id, target="openvino:fp16", size=len(content))
        assert slot.upload is not None
        done = Complete(fence=claim.fence, uploads=[slot.upload], manifest=manifest, report=report)
        artifact = attempts.complete(farm, claim.build, done).artifact
        assert artifact is not None
        assert client.artifacts.download(artifact, tmp_path / "out") == manifest
    assert (tmp_path / "out" / "model.bin").read_bytes() == content
    ours = [request for request in sent if request.headers["User-Agent"].startswith("enginehouse/")]
    elsewhere = [request for request in ours if str(request.url).startswith(s3.endpoint)]
    assert sorted(request.method for request in elsewhere) == ["GET", "PUT", "PUT"]
    assert not [request for request in elsewhere if ADMIN in str(request.headers) + str(request.url)]


def test_a_host_is_told_which_artifact_to_run(live: Live, model: Path, tmp_path: Path) -> None:
    pushed = live.json("model", "push", str(model))
    out, _ = live.run("fingerprint", "--runtime", "openvino=2026.4.1")
    host = json.loads(out)
    assert host["runtimes"]["openvino"] == "2026.4.1"
    assert "cpu" in host["hardware"]["tags"]
    file = tmp_path / "host.json"
    file.write_text(out)
    asking = ("resolve", pushed["id"][:12], "--fingerprint", str(file), "--backend", "openvino")
    out, _ = live.run(*asking, status=4)
    assert out.startswith("None: resolve.not_built: ")

    live.worker()
    with live.client() as client:
        wait_until(lambda: bool(client.workers.list().items), 30, "a worker")
        out, _ = live.run(*asking, "--precision", "fp16", "--enqueue")
        (job,) = client.jobs.list().items
        assert f"job {job.id} builds openvino:fp16" in out
        ended = client.jobs.wait(job.id, 60)
    artifact = ended.builds[0].artifact
    assert artifact is not None

    out, err = live.run(*asking, "--gate", "max_abs_error=1", "--goal", "size")
    rows = out.splitlines()
    assert rows[0].split()[:3] == ["artifact", "target", "p50"]
    assert rows[1].split()[:2] == [artifact[:12], "openvino:fp16"]
    assert f"enginehouse artifact get {artifact}" in out
    assert err == ""
    _, err = live.run(*asking, "--gate", "max_abs_error=0.1", status=4)
    assert f"passed over {artifact[:12]} openvino:fp16: resolve.bound_missed" in err
    answer = live.json(*asking)
    assert answer["best"]["artifact"] == artifact
    with live.client() as client:
        assert client.resolve(pushed["id"], backends=["openvino"]).model == pushed["id"], "for this host"

    file.write_text('{"hardware": {}}')
    assert "hardware.hardware_class" in live.run(*asking, status=3)[1]
    live.run(*asking[:2], "--fingerprint", str(tmp_path / "missing"), status=9)
    assert "NAME=VERSION" in live.run("fingerprint", "--runtime", "openvino", status=2)[1]


def test_what_is_kept_and_what_goes(live: Live, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live.worker()
    job = live.json("submit", str(model), "-t", "openvino:fp32")
    artifact = job["builds"][0]["artifact"]
    assert "is pinned" in live.run("artifact", "pin", artifact[:12], "--note", "in production")[0]
    pinned = live.json("artifact", "list")["items"][0]
    assert (pinned["pinned"], pinned["pin_note"]) == (True, "in production")
    assert "pinned" in live.run("artifact", "list")[0]
    assert not live.json("artifact", "unpin", artifact)["pinned"]
    pass_time(live.farm, days=3)
    monkeypatch.setattr(live.farm.settings, "keep_days", 2)
    assert live.json("admin", "gc", "--dry-run")["dry_run"]
    retention.run(live.farm)
    with live.client() as client, pytest.raises(errors.ArtifactEvicted):
        client.artifacts.download(artifact, tmp_path / "gone")
    assert f"(evicted {datetime.now(UTC):%Y-%m-%d})" in live.run("job", "show", job["id"])[0]
    assert "evicted" in live.run("artifact", "list")[0]
    live.run("artifact", "pin", artifact, status=3)
    out, told = live.run("admin", "gc")
    assert "bytes removed" in out
    assert "0 events, 0 deliveries of webhooks, the logs of 0 builds" in told
    out, told = live.run("admin", "gc", "--dry-run")
    assert "nothing was changed" in told
    np.savez(tmp_path / "few.npz", x=np.zeros((2, 1, 4), np.float32))
    live.run("dataset", "push", str(tmp_path / "few.npz"))
    live.run("dataset", "delete", "few@1")
    live.run("dataset", "delete", "few@1", status=4)
    live.run("model", "delete", job["model"])
    live.run("model", "inspect", job["model"], status=4)
    assert live.json("job", "show", job["id"])["builds"][0]["artifact"] == artifact


def test_persons_members_and_what_was_asked(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("four plain words here\n"))
    made = live.json("person", "create", "Ana@example.com", "--name", "Ana Ortega", "--password-stdin")
    assert (made["login"], made["kind"], made["operator"]) == ("ana@example.com", "local", False)
    assert "four plain words" not in json.dumps(made)
    live.run("person", "create", "bo@example.com")
    live.run("person", "create", "bo@example.com", status=3)
    assert [one["kind"] for one in live.json("person", "list")["items"]] == ["invited", "local"]
    assert "Ana Ortega" in live.run("person", "list")[0]
    assert live.json("person", "set", "bo@example.com", "--operator", "--disabled")["disabled"] is not None
    assert live.json("person", "set", "bo@example.com", "--no-operator", "--no-disabled")["disabled"] is None
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert "password" in live.run("person", "set", "ana@example.com", "--password-stdin", status=3)[1]
    live.run("person", "sign-out", "ana@example.com")
    live.run("person", "sign-out", "nobody", status=4)
    assert live.json("member", "set", "ana@example.com", "maintainer")["role"] == "maintainer"
    out, _ = live.run("member", "list")
    assert "maintainer" in out
    live.run("member", "set", "nobody", "viewer", status=4)
    live.run("member", "set", "ana@example.com", "king", status=2)
    with live.client() as client:
        assert [one.login for one in client.members.list().items] == ["ana@example.com"]
        assert client.persons.get("ana@example.com").projects[0].project == "default"
        assert client.me().name == "admin (settings)"
        assert "operate" in client.me().scopes
    live.run("member", "remove", "ana@example.com")
    live.run("member", "remove", "ana@example.com", status=4)
    found = live.json("admin", "audit", "--action", "members_put", "--since", "2026-01-01")["items"]
    assert [(one["on"], one["outcome"]) for one in found][-1] == ("member ana@example.com: maintainer", "done")
    assert live.json("admin", "audit", "--until", "2026-01-01")["items"] == []
    assert live.json("admin", "audit", "--who", "nobody", "--everywhere")["items"] == []
    assert "members_remove" in live.run("admin", "audit", "--limit", "5")[0]
    reader = live.json("token", "create", "r", "--scope", "maintain")["token"]
    live.run("admin", "audit", token=reader, status=5)
    live.run("person", "list", token=reader, status=5)
