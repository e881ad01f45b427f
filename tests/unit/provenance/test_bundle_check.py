"""A bundle that was changed in any way is refused, with the code that says how; nothing is asked of anybody."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import FILES, bundle, manifest, signer, statement
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enginehouse.bundle import ENVELOPE_NAME, MANIFEST_NAME
from enginehouse.bundle_check import check_bundle
from enginehouse.dsse import Envelope, Signature, pae
from enginehouse.provenance import PAYLOAD_TYPE, Digest, Subject

KEYS = [signer().public]


def codes(folder: Path) -> list[str]:
    found = check_bundle(folder, KEYS)
    assert found.ok == (not found.failures())
    return [check.code for check in found.failures()]


def envelope(folder: Path) -> Envelope:
    return Envelope.model_validate_json((folder / ENVELOPE_NAME).read_bytes())


def seal(folder: Path, payload: bytes, kind: str = PAYLOAD_TYPE) -> None:
    """As if the farm had signed this."""
    signature = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32).sign(pae(kind, payload))
    made = Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=kind,
        signatures=[Signature(keyid=KEYS[0].id, sig=base64.b64encode(signature).decode())],
    )
    (folder / ENVELOPE_NAME).write_bytes(made.to_json())


def test_what_the_farm_signed_is_accepted_and_every_check_is_said(folder: Path):
    found = check_bundle(folder, [signer(9).public, *KEYS])
    assert found.ok
    assert [check.name for check in found.checks] == [
        "signature",
        "statement",
        "manifest",
        *(f"file {path}" for path in FILES),
        "nothing else",
    ]
    assert (found.key, found.artifact) == (KEYS[0].id, manifest().digest())
    assert found.statement == json.loads(statement(manifest()).payload())


def flip(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))

    return change


def other_statement(folder: Path) -> None:
    """The statement says something else, under the signature of the first."""
    made = envelope(folder)
    payload = base64.b64decode(made.payload).replace(b"farm.example.org", b"evil.example.org")
    made.payload = base64.b64encode(payload).decode()
    (folder / ENVELOPE_NAME).write_bytes(made.to_json())


def resigned(folder: Path) -> None:
    (folder / ENVELOPE_NAME).write_bytes(signer(8).sign(statement(manifest())).to_json())
    (folder / "key.pem").write_text(signer(8).public.pem)


def other_payload_type(folder: Path) -> None:
    made = envelope(folder)
    (folder / ENVELOPE_NAME).write_bytes(made.model_copy(update={"payload_type": "application/json"}).to_json())


def of_another_bundle(folder: Path) -> None:
    other = manifest({**FILES, "model.bin": b"?"})
    (folder / ENVELOPE_NAME).write_bytes(signer().sign(statement(other)).to_json())


def as_link(folder: Path) -> None:
    outside = folder.parent / "outside"
    (folder / "model.bin").rename(outside)
    (folder / "model.bin").symlink_to(outside)


def linked_folder(folder: Path) -> None:
    (folder / "deep").rename(folder.parent / "deep")
    (folder / "deep").symlink_to(folder.parent / "deep")


def truncated(folder: Path) -> None:
    (folder / "model.bin").write_bytes(FILES["model.bin"][:-1])


def reordered_manifest(folder: Path) -> None:
    """The same content in other bytes."""
    content = json.loads((folder / MANIFEST_NAME).read_bytes())
    (folder / MANIFEST_NAME).write_text(json.dumps(content, indent=1))


def large_envelope(folder: Path) -> None:
    with (folder / ENVELOPE_NAME).open("r+b") as stream:
        stream.truncate(17 * 2**20)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (flip("model.bin"), ["file_changed"]),
        (flip("report.json"), ["file_changed"]),
        (truncated, ["file_changed"]),
        (as_link, ["file_changed"]),
        (flip(MANIFEST_NAME), ["manifest_changed"]),
        (reordered_manifest, ["manifest_changed"]),
        (lambda folder: (folder / MANIFEST_NAME).unlink(), ["manifest_changed"]),
        (lambda folder: (folder / "model.bin").unlink(), ["file_missing"]),
        (lambda folder: (folder / "libplugin.so").write_bytes(b"!"), ["file_extra"]),
        (lambda folder: (folder / ".model.bin.part").write_bytes(b"!"), ["file_extra"]),
        (linked_folder, ["file_missing", "file_extra"]),
        (of_another_bundle, ["manifest_changed", "file_changed"]),
        (resigned, ["signer_unknown"]),
        (other_statement, ["signature_invalid"]),
        (other_payload_type, ["signature_invalid"]),
        (lambda folder: (folder / ENVELOPE_NAME).unlink(), ["not_signed"]),
        (lambda folder: (folder / ENVELOPE_NAME).write_bytes(b"{}"), ["envelope_unreadable"]),
        (large_envelope, ["envelope_unreadable"]),
    ],
)
def test_what_was_changed_is_refused(folder: Path, change: Callable[[Path], None], expected: list[str]):
    change(folder)
    assert codes(folder) == [f"provenance.{code}" for code in expected]


def test_a_payload_of_another_type_is_refused_even_when_the_farm_signed_it(folder: Path):
    seal(folder, statement(manifest()).payload(), "application/json")
    assert codes(folder) == ["provenance.statement_invalid"]


@pytest.mark.parametrize(
    "change",
    [
        {"_type": "https://in-toto.io/Statement/v0.1"},
        {"predicateType": "https://slsa.dev/provenance/v0.2"},
        {"predicate": {}},
        {"subject": []},
        {"subject": [{"name": "x", "digest": {"sha256": "ABC"}}]},
        {"subject": [{"name": "model.bin", "digest": {"sha512": "0" * 64}}]},
    ],
)
def test_a_statement_that_is_none_is_refused_even_when_the_farm_signed_it(folder: Path, change: dict):
    seal(folder, json.dumps(json.loads(statement(manifest()).payload()) | change).encode())
    assert codes(folder) == ["provenance.statement_invalid"]


def test_fields_that_a_newer_farm_adds_are_passed_over(folder: Path):
    seal(folder, json.dumps(json.loads(statement(manifest()).payload()) | {"urn:new": 1}).encode())
    assert codes(folder) == []


def test_a_statement_about_other_files_than_the_manifests_is_refused(folder: Path):
    subject = statement(manifest()).subject
    seal(folder, statement(manifest(), subject=[each for each in subject if each.name != "report.json"]).payload())
    assert codes(folder) == ["provenance.statement_invalid", "provenance.file_extra"]
    seal(folder, statement(manifest(), subject=[each for each in subject if each.name != MANIFEST_NAME]).payload())
    assert codes(folder) == ["provenance.statement_invalid"]


def test_a_manifest_of_an_older_farm_holds_though_this_version_would_write_it_otherwise(folder: Path):
    content = json.loads((folder / MANIFEST_NAME).read_bytes())
    del content["settings"]
    older = json.dumps(content).encode()
    (folder / MANIFEST_NAME).write_bytes(older)
    first, *rest = statement(manifest()).subject
    digest = Digest(sha256=hashlib.sha256(older).hexdigest())
    seal(folder, statement(manifest(), subject=[Subject(name=first.name, digest=digest), *rest]).payload())
    assert codes(folder) == []


def test_a_size_that_the_manifest_does_not_have_is_said(folder: Path):
    truncated(folder)
    (found,) = check_bundle(folder, KEYS).failures()
    assert found.detail == "model.bin has 6999 bytes, signed were 7000"


def test_a_name_that_leaves_the_folder_leads_nowhere(folder: Path):
    (folder.parent / "outside").write_bytes(b"secret")
    made = statement(manifest())
    stray = made.subject[1].model_copy(update={"name": "../outside"})
    seal(folder, statement(manifest(), subject=[*made.subject, stray]).payload())
    assert codes(folder) == ["provenance.statement_invalid", "provenance.file_missing"]


def test_without_a_signature_that_holds_nothing_is_said_of_the_rest(folder: Path):
    resigned(folder)
    found = check_bundle(folder, KEYS)
    assert [check.name for check in found.checks] == ["signature"]
    assert (found.key, found.artifact, found.statement) == (None, None, None)


def test_a_folder_that_is_not_there_is_an_error_of_the_machine(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        check_bundle(tmp_path / "nowhere", KEYS)


def test_a_key_inside_the_bundle_is_an_additional_file(tmp_path: Path):
    made = bundle(tmp_path / "b")
    (made / "farm-keys.pem").write_text(KEYS[0].pem)
    assert codes(made) == ["provenance.file_extra"]
