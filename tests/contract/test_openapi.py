"""The OpenAPI document: committed, valid, complete, and what the API does is what it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from api.app import create_app, door
from api.openapi import current, render
from enginehouse.errors import codes
from enginehouse.people import Role
from scheduler import tokens
from scheduler.farm import Farm
from scheduler.registry.tables import Base
from scheduler.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "docs" / "openapi.json"
_METHODS = {"get", "put", "post", "patch", "delete", "head"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in current()["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_the_committed_document_is_the_present_one() -> None:
    assert COMMITTED.read_text() == render(current()), "run: python -m api.openapi > docs/openapi.json"


def test_the_command_prints_it() -> None:
    printed = subprocess.run(
        [sys.executable, "-W", "error", "-m", "api.openapi"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == COMMITTED.read_text()
    assert printed.stderr == ""


def test_it_is_valid_openapi_3_1() -> None:
    document = current()
    assert document["openapi"] == "3.1.0"
    OPENAPI_31_VALIDATOR.validate(document)


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    text = render(current())
    names = set(current()["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used == names


def test_every_operation_is_whole() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    public = {"/healthz", "/readyz", "/v1/keys"}
    for path, method, operation in operations():
        assert method in _METHODS
        assert operation["summary"]
        answers = operation["responses"].items()
        problems = {status for status, answer in answers if "application/problem+json" in answer.get("content", {})}
        assert "500" in problems or method == "head", path
        guarded = operation["x-scope"] not in {"public", "signed"}
        assert bool(operation["security"]) == guarded
        assert ({"401", "403"} <= set(operation["responses"])) == guarded or operation["x-scope"] == "signed"
        assert guarded or path in public or operation["x-scope"] == "signed"
        named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        if "requestBody" in operation:
            assert {"400", "413", "422"} <= problems, path


def test_bodies_of_two_kinds_bytes_and_events_are_described() -> None:
    paths = current()["paths"]
    for noun in ("models", "datasets"):
        body = paths[f"/v1/{noun}"]["post"]["requestBody"]["content"]
        assert set(body) == {"application/octet-stream", "application/json"}
    assert "text/event-stream" in paths["/v1/events"]["get"]["responses"]["200"]["content"]
    download = paths["/v1/artifacts/{artifact}/files/{path}"]
    assert {"200", "206", "302", "304", "416"} <= set(download["get"]["responses"])
    assert "head" in download
    assert set(current()["components"]["securitySchemes"]) == {"token", "password"}


def test_every_code_that_is_described_is_published() -> None:
    known = set(codes())
    for path, _, operation in operations():
        for answer in operation["responses"].values():
            for code in answer["description"].split("`")[1::2]:
                assert code in known, path


# --- what it does is what it says --------------------------------------------------------------

ADMIN, WORKER = "admin-token-for-tests", "worker-token-for-tests"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("openapi")
    farm = Farm(
        Settings(
            data_dir=folder,
            database_url=f"sqlite:///{folder / 'registry.db'}",
            broker_url="redis://127.0.0.1:1/0",
            secret_key="a secret of the tests",
            signing_key="5" * 64,
            admin_token=ADMIN,
            worker_token=WORKER,
            max_upload_bytes=1024**2,
        )
    )
    Base.metadata.create_all(farm.engine)
    tokens.bootstrap(farm)
    made = create_app(farm.settings, farm)
    yield made
    door(made).close()


@pytest.fixture(scope="module")
def schema(app: Flask) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", app, headers={"Authorization": f"Bearer {ADMIN}"})


@pytest.fixture(scope="module")
def keys(app: Flask) -> dict[str, str]:
    """A token of each role, and a worker's."""
    farm = door(app).farm
    with farm.write() as session:
        operator = tokens.authenticate(session, ADMIN)
        made = {
            role: tokens.create(session, operator, role.value, sorted(role.scopes), None)[1]
            for role in (Role.VIEWER, Role.SUBMITTER, Role.MAINTAINER)
        }
    return {**{role.value: secret for role, secret in made.items()}, "worker": WORKER, "nobody": "eh_unknown"}


_LIMITS = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


# A stream of events does not end within a test, and health and keys take no input; other tests read those.
_FUZZED = [(p, m) for p, m, _ in operations() if p not in {"/v1/events", "/healthz", "/readyz", "/v1/keys"}]


@pytest.mark.parametrize(("path", "method"), _FUZZED)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_given_any_request_i_expect_an_answer_that_is_described(
    schema: Any, path: str, method: str, mode: GenerationMode
) -> None:
    """Requests that the document allows, and requests that it does not."""
    headers = {"Authorization": f"Bearer {WORKER if path.startswith('/v1/work/') else ADMIN}"}

    @_LIMITS
    @given(case=schema[path][method.upper()].as_strategy(generation_mode=mode))
    def answers(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=_CHECKS)

    answers()


@pytest.mark.parametrize(("path", "method"), _FUZZED)
def test_given_any_role_i_expect_an_answer_that_is_described(
    schema: Any, keys: dict[str, str], path: str, method: str
) -> None:
    """Those who may not are told so; nobody is answered by a fault."""

    @settings(_LIMITS, max_examples=2)
    @given(case=schema[path][method.upper()].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def answers(case: Any) -> None:
        for key in keys.values():
            case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=_CHECKS)

    answers()
