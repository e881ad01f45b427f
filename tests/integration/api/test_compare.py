"""GET /v1/compare and /v1/schemas/report over the real door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import is_problem, push, tiny_model
from integration.api.test_resources import claim, finish, sign_on, submit

from enginehouse.comparison import Comparison
from scheduler.farm import Farm

SCHEMA = Path(__file__).parents[3] / "docs/report.schema.json"


def test_builds_are_compared_and_the_first_is_the_base(farm: Farm, admin: FlaskClient, worker: FlaskClient) -> None:
    models = [push(admin, tiny_model(weight))["id"] for weight in (2.0, 3.0)]
    built = []
    for weight, model in enumerate(models, 2):
        signed = sign_on(worker)
        (build,) = submit(admin, model).json["builds"]
        given = claim(farm, worker, signed, build["id"])
        assert finish(worker, build["id"], given, b"x" * weight).status_code == 200
        built.append(build["id"])
    answer = admin.get("/v1/compare?builds=" + ",".join(built))
    assert answer.status_code == 200, answer.text
    found = Comparison.model_validate(answer.json)
    assert [side.build for side in found.builds] == built
    assert [row.field for row in found.request] == ["model"]
    assert found.latency_caveats == ["the builds are of different models"]
    (size,) = found.metrics
    assert (size.values, size.ratios) == ([2.0, 3.0], [1.0, 1.5])


def test_a_build_without_a_report_is_a_problem(admin: FlaskClient, worker: FlaskClient) -> None:
    model = push(admin, tiny_model())["id"]
    sign_on(worker)
    (build,) = submit(admin, model).json["builds"]
    answer = admin.get(f"/v1/compare?builds={build['id']},{build['id']}")
    assert is_problem(answer, 409, "request.no_report")["where"] == {"build": build["id"], "state": "waiting"}


@pytest.mark.parametrize("builds", ["", "one", "a,", "a,,b", ",".join("abcdefghi"), "a,b/../c", "a,b&builds=", "a, b"])
def test_two_to_eight_ids_and_nothing_else(admin: FlaskClient, builds: str) -> None:
    is_problem(admin.get("/v1/compare", query_string={"builds": builds}), 422, "request.invalid")


def test_what_is_not_there_is_not_found(admin: FlaskClient) -> None:
    is_problem(admin.get("/v1/compare?builds=build_a,build_b"), 404, "request.not_found")
    is_problem(admin.get(f"/v1/compare?builds={'f' * 64},{'e' * 64}"), 404, "request.not_found")
    is_problem(admin.get("/v1/compare"), 422, "request.invalid")


def test_a_token_is_needed(app: Flask, worker: FlaskClient) -> None:
    is_problem(app.test_client().get("/v1/compare?builds=a,b"), 401)
    is_problem(worker.get("/v1/compare?builds=a,b"), 403)


def test_the_reports_schema_is_served_as_it_is_published(admin: FlaskClient) -> None:
    answer = admin.get("/v1/schemas/report")
    assert (answer.status_code, answer.content_type) == (200, "application/schema+json")
    assert answer.json == json.loads(SCHEMA.read_text())
