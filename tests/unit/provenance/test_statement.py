"""The statement against the fields of in-toto Statement v1 and SLSA Provenance v1, written out from both texts.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from bundles import FILES, manifest, statement

from enginehouse.bundle import MANIFEST_NAME
from enginehouse.provenance import Dependency, Statement, package_url

URI = {"type": "string", "pattern": r"^[a-z][a-z0-9+.-]*:\S+$"}
DIGEST = {
    "type": "object",
    "minProperties": 1,
    "properties": {"sha256": {"pattern": "^[0-9a-f]{64}$"}},
    "additionalProperties": {"type": "string"},
}
RESOURCE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "uri": URI,
        "digest": DIGEST,
        "content": {"type": "string"},
        "downloadLocation": URI,
        "mediaType": {"type": "string"},
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}, {"required": ["content"]}],
}
TIMESTAMP = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


STATEMENT = closed(
    ["_type", "subject", "predicateType", "predicate"],
    _type={"const": "https://in-toto.io/Statement/v1"},
    subject={"type": "array", "minItems": 1, "items": RESOURCE | {"required": ["digest"]}},
    predicateType={"const": "https://slsa.dev/provenance/v1"},
    predicate=closed(
        ["buildDefinition", "runDetails"],
        buildDefinition=closed(
            ["buildType", "externalParameters"],
            buildType=URI,
            externalParameters={"type": "object"},
            internalParameters={"type": "object"},
            resolvedDependencies={"type": "array", "items": RESOURCE},
        ),
        runDetails=closed(
            ["builder"],
            builder=closed(
                ["id"],
                id=URI,
                version={"type": "object", "additionalProperties": {"type": "string"}},
                builderDependencies={"type": "array", "items": RESOURCE},
            ),
            metadata=closed([], invocationId={"type": "string"}, startedOn=TIMESTAMP, finishedOn=TIMESTAMP),
            byproducts={"type": "array", "items": RESOURCE},
        ),
    ),
)


def check(payload: bytes) -> dict[str, Any]:
    """The statement, once the specifications' fields are met and parameters have distinct names."""
    found: dict[str, Any] = json.loads(payload)
    jsonschema.Draft202012Validator(STATEMENT).validate(found)
    definition = found["predicate"]["buildDefinition"]
    assert not set(definition["externalParameters"]) & set(definition.get("internalParameters", {}))
    names = [subject["name"] for subject in found["subject"]]
    assert len(names) == len(set(names))
    return found


def test_a_statement_has_the_fields_of_the_specifications():
    found = check(statement(manifest()).payload())
    assert found["subject"][0] == {"name": MANIFEST_NAME, "digest": {"sha256": manifest().digest()}}
    assert [subject["name"] for subject in found["subject"][1:]] == list(FILES)
    assert found["predicate"]["runDetails"]["metadata"]["startedOn"] == "2026-11-21T12:00:00Z"


def test_it_is_read_back_as_it_was():
    payload = statement(manifest()).payload()
    assert Statement.model_validate_json(payload).payload() == payload


def test_a_dependency_without_a_digest_has_an_address():
    made = Dependency(name="openvino", uri=package_url("openvino", "2026.4.1")).model_dump(exclude_none=True)
    jsonschema.Draft202012Validator(RESOURCE).validate(made)


def test_package_urls_are_those_of_the_purl_specification():
    assert package_url("openvino", "2026.4.1") == "pkg:pypi/openvino@2026.4.1"
    assert package_url("Torch_Vision", "2.13.0+cpu") == "pkg:pypi/torch-vision@2.13.0%2Bcpu"
