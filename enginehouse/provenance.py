"""Provenance: who built an artifact, out of what, how and when, as an in-toto Statement with SLSA's predicate.

Fields are those of in-toto Statement v1 (https://in-toto.io/Statement/v1) and SLSA Provenance v1
(https://slsa.dev/provenance/v1); what this farm puts into them is written down in ``docs/provenance.md``.
A reader passes over fields that it does not know, as both specifications ask.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from enginehouse.bundle import MANIFEST_NAME, Manifest, canonical_json

PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUILD_TYPE = "urn:enginehouse:build:1"
"""What ``docs/provenance.md`` describes. Raise it when the meaning of the parameters changes."""


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[datetime, PlainSerializer(_utc, when_used="json")]
"""RFC 3339 in UTC, to the second."""
HexDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Digest(_Part):
    """The hash by which a thing is known."""

    sha256: HexDigest


class Subject(_Part):
    """A thing that was built: a file of the bundle, or its manifest."""

    name: str
    digest: Digest


class Dependency(_Part):
    """A thing that the build used: an in-toto ResourceDescriptor. A package has an address and no digest of ours."""

    name: str
    uri: str
    digest: Digest | None = None


class BuildDefinition(_Part):
    """What was asked for, and what it was built from."""

    build_type: str
    external_parameters: dict[str, Any]
    internal_parameters: dict[str, Any] = Field(default_factory=dict)
    resolved_dependencies: list[Dependency] = Field(default_factory=list)


class Builder(_Part):
    """The farm that answers for all this."""

    id: str
    version: dict[str, str] = Field(default_factory=dict)


class Metadata(_Part):
    """This one execution: ``BUILD/ATTEMPT``, from the claim to the finished bundle."""

    invocation_id: str
    started_on: Timestamp
    finished_on: Timestamp


class RunDetails(_Part):
    """Who built it, and when."""

    builder: Builder
    metadata: Metadata


class Predicate(_Part):
    """SLSA Provenance v1."""

    build_definition: BuildDefinition
    run_details: RunDetails


class Statement(_Part):
    """What is signed."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(default="https://in-toto.io/Statement/v1", alias="_type")
    subject: list[Subject] = Field(min_length=1)
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = "https://slsa.dev/provenance/v1"
    predicate: Predicate

    def payload(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json(self.model_dump(mode="json", by_alias=True, exclude_none=True))


def subjects(manifest: Manifest) -> list[Subject]:
    """The manifest itself, under its digest, which names the artifact; then every file that it lists."""
    files = [Subject(name=file.path, digest=Digest(sha256=file.sha256)) for file in manifest.files]
    return [Subject(name=MANIFEST_NAME, digest=Digest(sha256=manifest.digest())), *files]


def package_url(package: str, version: str) -> str:
    """The purl of a Python distribution, as the purl specification writes its type ``pypi``."""
    return f"pkg:pypi/{quote(package.lower().replace('_', '-'), safe='')}@{quote(version, safe='')}"
