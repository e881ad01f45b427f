"""What the farm signs when it records an artifact, and what becomes of it when keys and jobs change."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import farmhand
import pytest
from farmhand import Farmhand
from sqlalchemy import update

from enginehouse.bundle import ENVELOPE_NAME, MANIFEST_NAME, BundleFile
from enginehouse.bundle_check import check_bundle
from enginehouse.dsse import read_envelope
from enginehouse.errors import NotFound, RequestError, SigningKeyMissing
from enginehouse.public_key import PublicKey, from_views
from enginehouse.states import BuildState, Origin
from enginehouse.views import BuildView
from scheduler import artifacts, attempts, keys
from scheduler.farm import Farm
from scheduler.registry.tables import Artifact
from scheduler.settings import Settings


@pytest.fixture
def hand(farm: Farm) -> Farmhand:
    return Farmhand(farm)


@pytest.fixture
def second(settings: Settings, farm: Farm) -> Iterator[Farm]:
    """Another process of the same farm, with another key."""
    other = Farm(settings.model_copy(update={"signing_key": type(settings.secret_key)("6" * 64)}))
    other.broker.send = lambda *_, **__: False
    yield other
    other.dispose()


def built(farm: Farm, hand: Farmhand, model: str, content: bytes = b"an engine", **more) -> BuildView:
    (waiting,) = farmhand.submit(farm, model, "openvino:fp16", **more).builds
    farmhand.tick(farm)
    return hand.build(waiting.id, content)


def content(farm: Farm, artifact: str, path: str) -> bytes:
    served = artifacts.file(farm, farmhand.me(farm), artifact, path)
    return b"".join(served.open(0, served.size))


def download(farm: Farm, artifact: str, folder: Path) -> Path:
    folder.mkdir()
    for path in (MANIFEST_NAME, ENVELOPE_NAME, "model.xml"):
        (folder / path).write_bytes(content(farm, artifact, path))
    return folder


def published(farm: Farm) -> list[PublicKey]:
    return from_views(keys.published(farm))


def test_an_artifact_is_signed_when_it_is_recorded_and_verifies(farm, hand, model, tmp_path):
    build = built(farm, hand, model)
    found = check_bundle(download(farm, build.artifact, tmp_path / "out"), published(farm))
    assert found.ok, found.failures()
    assert (found.artifact, found.key) == (build.artifact, farm.signer.public.id)


def test_the_statement_says_what_it_was_built_from_by_whom_and_when(farm, hand, model):
    build = built(farm, hand, model, seed=5)
    envelope = read_envelope(content(farm, build.artifact, ENVELOPE_NAME))
    statement = json.loads(base64.b64decode(envelope.payload))
    definition, details = statement["predicate"]["buildDefinition"], statement["predicate"]["runDetails"]
    assert definition["externalParameters"]["seed"] == 5
    assert definition["externalParameters"]["model"] == model
    assert definition["externalParameters"]["target"]["backend"] == "openvino"
    assert definition["internalParameters"]["hardwareClass"] == "cpu-test-2c"
    assert definition["internalParameters"]["hardware"]["cpu_model"] == "test"
    assert definition["resolvedDependencies"] == [
        {"name": "model", "uri": f"urn:enginehouse:model:{model}", "digest": {"sha256": model}},
        {"name": "openvino", "uri": "pkg:pypi/openvino@2026.4.1"},
    ]
    assert details["builder"]["id"] == f"urn:enginehouse:farm:{farm.signer.public.id}"
    assert details["metadata"]["invocationId"] == f"{build.id}/1"
    assert details["metadata"]["startedOn"] <= details["metadata"]["finishedOn"]


def test_a_farm_with_a_public_address_is_named_by_it(farm, hand, model):
    farm.settings.public_url = "https://farm.example.org"
    envelope = read_envelope(content(farm, built(farm, hand, model).artifact, ENVELOPE_NAME))
    statement = json.loads(base64.b64decode(envelope.payload))
    assert statement["predicate"]["runDetails"]["builder"]["id"] == "https://farm.example.org"


def test_evidence_is_signed_too(farm, hand, model):
    (waiting,) = farmhand.submit(farm, model, "openvino:fp16").builds
    farmhand.tick(farm)
    failed = hand.complete(hand.claim(waiting.id), agrees=False)
    assert failed.state is BuildState.FAILED
    assert content(farm, failed.artifact, ENVELOPE_NAME)


def test_from_the_cache_comes_the_provenance_of_the_build_that_made_it(farm, hand, model):
    first = built(farm, hand, model)
    before = content(farm, first.artifact, ENVELOPE_NAME)
    (again,) = farmhand.submit(farm, model, "openvino:fp16").builds
    assert (again.origin, again.artifact) == (Origin.CACHE, first.artifact)
    assert content(farm, again.artifact, ENVELOPE_NAME) == before


def test_a_repeated_completion_leaves_the_envelope_as_it_is(farm, hand, model):
    (waiting,) = farmhand.submit(farm, model, "openvino:fp16").builds
    farmhand.tick(farm)
    bundle = hand.bundle(hand.claim(waiting.id))
    artifact = attempts.complete(farm, waiting.id, bundle).artifact
    before = content(farm, artifact, ENVELOPE_NAME)
    assert attempts.complete(farm, waiting.id, bundle).artifact == artifact
    assert content(farm, artifact, ENVELOPE_NAME) == before


def test_after_a_rotation_old_and_new_envelopes_verify(farm, second, hand, model, tmp_path):
    old = built(farm, hand, model)
    hand.farm = second
    new = built(second, hand, model, b"another engine", seed=1)
    assert [view.current for view in keys.published(second)].count(True) == 1
    trusted = published(second)
    assert {key.id for key in trusted} == {farm.signer.public.id, second.signer.public.id}
    for name, build, by in (("old", old, farm), ("new", new, second)):
        found = check_bundle(download(farm, build.artifact, tmp_path / name), trusted)
        assert (found.ok, found.key) == (True, by.signer.public.id)


def test_a_withdrawn_key_is_published_no_more_and_signs_nothing_more(farm, second, hand, model, tmp_path):
    old = built(farm, hand, model)
    keys.bootstrap(second)
    keys.withdraw(second, farm.signer.public.id)
    assert published(second) == [second.signer.public]
    found = check_bundle(download(second, old.artifact, tmp_path / "out"), published(second))
    assert [check.code for check in found.failures()] == ["provenance.signer_unknown"]
    with pytest.raises(SigningKeyMissing, match="withdrawn"):
        keys.bootstrap(farm)
    with pytest.raises(SigningKeyMissing, match="withdrawn"):
        built(farm, hand, model, b"another engine", seed=1)
    with pytest.raises(NotFound):
        keys.withdraw(second, "0" * 64)


def test_processes_with_the_same_key_publish_it_once(farm, settings):
    twin = Farm(settings)
    for each in (farm, twin, farm):
        keys.bootstrap(each)
    assert published(farm) == published(twin) == [farm.signer.public]
    twin.dispose()


def test_without_a_key_nothing_is_recorded(farm, hand, model):
    farm.settings.signing_key = None
    with pytest.raises(SigningKeyMissing):
        built(farm, hand, model)
    (row,) = farmhand.job(farm, farmhand.submit(farm, model, "openvino:fp16").id).builds
    assert row.artifact is None


def test_an_artifact_from_before_signing_has_no_envelope(farm, hand, model):
    build = built(farm, hand, model)
    with farm.write() as session:
        session.execute(update(Artifact).values(envelope=None))
    with pytest.raises(NotFound, match=ENVELOPE_NAME):
        content(farm, build.artifact, ENVELOPE_NAME)


@pytest.mark.parametrize("path", [ENVELOPE_NAME, MANIFEST_NAME, "model.xml"])
def test_a_worker_cannot_put_a_file_in_the_place_of_the_farms_own(farm, hand, model, path):
    (waiting,) = farmhand.submit(farm, model, "openvino:fp16").builds
    farmhand.tick(farm)
    claim = hand.claim(waiting.id)
    bundle = hand.bundle(claim)
    first = bundle.manifest.files[0]
    bundle.manifest.files.append(BundleFile(path=path, sha256=first.sha256, size=first.size, role="report"))
    with pytest.raises(RequestError, match="listed twice"):
        attempts.complete(farm, claim.build, bundle)
