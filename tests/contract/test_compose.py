"""docker-compose.yml against the compose specification, the project and its settings. No Docker engine is needed."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from services.process import missing

from api.settings import ServeSettings
from scheduler.settings import Settings
from workers.settings import WorkerSettings
from zoo import Wheel, ZooError, wheel_member

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
WORKERS = [name for name in OURS if name.startswith("worker")]
_SCHEMA_SHA256 = "d549057ebc2925f39f62799eab0db7b9e2c18b35b6c00595199116da3ed10e64"
SECRETS = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|SIGNING_KEY")
REQUIRED = re.compile(r"\$\{(\w+):\?[^}]+\}")
SUBSTITUTED = re.compile(r"(?<!\$)\$(?:\{(\w+)|(\w+))")


def variables(names: Any) -> set[str]:
    return {f"ENGINEHOUSE_{name.upper()}" for name in names}


KNOWN = {
    "server": variables(Settings.model_fields) | variables(ServeSettings.model_fields),
    "worker": variables(WorkerSettings.model_fields),
}


@pytest.fixture(scope="module")
def schema() -> Any:
    """The compose specification's own JSON schema (Apache-2.0), out of a wheel that carries it."""
    wheel = Wheel(
        package="check-jsonschema",
        version="0.39.0",
        sha256="14ce5c94871c551268ea948ffe21e9f1464dc48fb20bf9a4c13deeaaf756cf9b",
    )
    member = "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    try:
        return json.loads(
            wheel_member(wheel, member, "d549057ebc2925f39f62799eab0db7b9e2c18b35b6c00595199116da3ed10e64").read_bytes()
        )
    except ZooError as error:
        missing("the compose specification's schema", str(error))


def test_it_meets_the_compose_specification(schema: Any) -> None:
    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_schema_would_find_a_mistake(schema: Any) -> None:
    broken = {**COMPOSE, "services": {"api": {"imagee": "x"}}}
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(broken))


def test_it_has_every_part_of_the_farm() -> None:
    assert set(SERVICES) == {
        *("postgres", "redis", "seaweedfs", "migrate", "api", "scheduler", "worker-cpu", "worker-nvidia"),
    }


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_that_the_project_has(name: str) -> None:
    python, flag, module = SERVICES[name]["command"]
    assert (python, flag) == ("python", "-m")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert not spec.submodule_search_locations or importlib.util.find_spec(f"{module}.__main__") is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


@pytest.mark.parametrize("name", OURS)
def test_each_variable_is_one_that_the_settings_know(name: str) -> None:
    known = KNOWN["worker" if name in WORKERS else "server"]
    assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_told_nothing_of_the_database_and_the_store(name: str) -> None:
    service = SERVICES[name]
    assert set(service["environment"]) == {
        *("ENGINEHOUSE_URL", "ENGINEHOUSE_TOKEN", "ENGINEHOUSE_BROKER_URL", "ENGINEHOUSE_SCRATCH_DIR"),
    }
    told = {found for value in service["environment"].values() for found in REQUIRED.findall(value)}
    assert told == {"WORKER_TOKEN", "REDIS_PASSWORD"}
    assert not set(networks("postgres")) & set(networks(name))


def networks(name: str) -> list[str]:
    return list(SERVICES[name]["networks"])


def test_the_database_and_the_broker_are_on_networks_without_a_way_out() -> None:
    for name in ("postgres", "redis"):
        assert all(COMPOSE["networks"][network]["internal"] for network in networks(name))
        assert "ports" not in SERVICES[name]


def test_no_secret_has_a_value_or_a_default() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRETS.search(variable):
                assert REQUIRED.fullmatch(value), f"{name}: {variable} must be ${{NAME:?message}}"
            if "://" in value and "@" in value:
                credentials = value.split("://")[1].split("@")[0]
                assert REQUIRED.search(credentials), f"{name}: the password in {variable} must be ${{NAME:?message}}"
    for file in (ROOT / "deploy").glob("*.Dockerfile"):
        assert not re.search(r"^(ENV|ARG).*(PASSWORD|SECRET|TOKEN)", file.read_text(), re.MULTILINE), file


def test_ports_are_published_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_all_that_keeps_running_has_a_health_check_and_waits_for_what_it_needs() -> None:
    for name, service in SERVICES.items():
        if service["restart"] != "no":
            assert service["healthcheck"]["test"], name
        for other, how in service.get("depends_on", {}).items():
            once = SERVICES[other]["restart"] == "no"
            assert how["condition"] == ("service_completed_successfully" if once else "service_healthy")
    assert "migrate" in SERVICES["api"]["depends_on"]
    assert "migrate" in SERVICES["scheduler"]["depends_on"]


def test_every_container_gains_no_privileges_and_ours_are_read_only() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "privileged" not in service
    assert all(SERVICES[name]["read_only"] for name in OURS)


def test_the_nvidia_worker_is_asked_for_and_reserves_a_gpu() -> None:
    service = SERVICES["worker-nvidia"]
    assert service["profiles"] == ["gpu"]
    [device] = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert re.search(r"^FROM nvcr\.io/nvidia/tensorrt:\d\d\.\d\d-py3$", dockerfile("worker-nvidia"), re.MULTILINE)


def dockerfile(name: str) -> str:
    return (ROOT / SERVICES[name]["build"]["dockerfile"]).read_text()


@pytest.mark.parametrize("name", OURS)
def test_each_dockerfile_copies_what_there_is_and_runs_as_nobody_special(name: str) -> None:
    text = dockerfile(name)
    copied = [source for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for source in line.split()[:-1]]
    assert copied
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] in allowed, f"{source} is kept out by .dockerignore"
    assert re.findall(r"^USER (\w+)$", text, re.MULTILINE) == ["enginehouse"]
    assert re.search(r"^FROM \S+:\S*\d", text, re.MULTILINE)
    [module] = re.findall(r'^CMD \["python", "-m", "(\w+)"\]$', text, re.MULTILINE)
    assert importlib.util.find_spec(module) is not None


def test_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        if name not in OURS:
            assert re.fullmatch(r"[\w./-]+:\d[\w.-]*", service["image"]), name


def test_make_env_gives_every_secret_and_overwrites_none(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    target = tmp_path / "env"
    command = [str(ROOT / "deploy" / "make-env"), str(target)]
    subprocess.run(command, check=True, capture_output=True)
    assert target.stat().st_mode & 0o777 == 0o600
    lines = [line for line in target.read_text().splitlines() if line and not line.startswith("#")]
    made = dict(line.split("=", 1) for line in lines)
    assert set(made) == set(REQUIRED.findall(text))
    assert len(set(made.values())) == len(made)
    assert all(re.fullmatch(r"(eh_)?[0-9a-f]{64}", value) for value in made.values())
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode != 0
    assert "exists" in again.stderr
    assert [line for line in target.read_text().splitlines() if line and not line.startswith("#")] == lines


def test_the_example_names_every_variable_and_holds_no_secret() -> None:
    example = (ROOT / "deploy" / "env.example").read_text()
    named = set(re.findall(r"^#?([A-Z0-9_]+)=", example, re.MULTILINE))
    used = {one or other for one, other in SUBSTITUTED.findall((ROOT / "docker-compose.yml").read_text())}
    assert named == used
    assert not re.findall(r"^[A-Z0-9_]+=.+", example, re.MULTILINE)
