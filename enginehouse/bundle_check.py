"""Whether a downloaded bundle is what a farm signed: offline, with keys that come from anywhere but the bundle.

    keys = read_keys(Path("farm-keys.pem"))
    checked = check_bundle(Path("out"), keys)
    assert checked.ok, checked.failures()

The signature is looked at first. Where it does not hold, nothing else is: it alone says what the rest should be.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from enginehouse.bundle import ENVELOPE_NAME, MANIFEST_NAME, RESERVED, Manifest
from enginehouse.dsse import MOST_BYTES, read_envelope
from enginehouse.errors import (
    EnvelopeUnreadable,
    FileChanged,
    FileExtra,
    FileMissing,
    ManifestChanged,
    NotSigned,
    ProvenanceError,
    StatementInvalid,
)
from enginehouse.provenance import PAYLOAD_TYPE, Statement
from enginehouse.public_key import PublicKey


class Check(BaseModel):
    """One thing that was looked at. ``code`` and ``advice`` belong to one that does not hold."""

    name: str = Field(examples=["signature", "statement", "manifest", "file model.xml", "nothing else"])
    ok: bool
    detail: str
    code: str = ""
    advice: str = ""


class BundleCheck(BaseModel):
    """All that was looked at, in order."""

    folder: str
    ok: bool
    artifact: str | None = Field(default=None, description="the signed manifest's digest, once a signature holds")
    key: str | None = Field(default=None, description="id of the key whose signature holds")
    checks: list[Check]
    statement: dict[str, Any] | None = Field(default=None, description="what was signed, once a signature holds")

    def failures(self) -> list[Check]:
        """What does not hold."""
        return [check for check in self.checks if not check.ok]


def check_bundle(folder: Path, keys: Sequence[PublicKey]) -> BundleCheck:
    """Check a bundle's folder against its signed provenance. Raises CryptographyMissing, OSError for no folder."""
    present = _files(folder)
    found = _Checks()
    signer, statement, artifact = None, None, None
    with found.check("signature"):
        payload_type, payload, signer = _opened(folder, keys)
        found.say("signature", f"by the farm's key {signer.id}")
    if signer is not None:
        with found.check("statement"):
            statement = _statement(payload_type, payload)
            details = statement.predicate.run_details
            found.say("statement", f"provenance of build {details.metadata.invocation_id} by {details.builder.id}")
    if statement is not None:
        signed = {subject.name: subject.digest.sha256 for subject in statement.subject}
        artifact = signed.get(MANIFEST_NAME)
        sizes: dict[str, int] = {}
        with found.check("manifest"):
            manifest = _manifest(folder, artifact)
            if {file.path: file.sha256 for file in manifest.files} | {MANIFEST_NAME: artifact} != signed:
                raise StatementInvalid("the statement names other files than the manifest")
            sizes = {file.path: file.size for file in manifest.files}
            found.say("manifest", f"sha256 {artifact}, {len(manifest.files)} files")
        for name, digest in signed.items():
            if name != MANIFEST_NAME:
                with found.check(f"file {name}"):
                    if name not in present:
                        raise FileMissing(f"{name} is not there")
                    size = _same(folder, name, digest, sizes.get(name))
                    found.say(f"file {name}", f"sha256 {digest}, {size} bytes")
        with found.check("nothing else"):
            extra = sorted(present - set(signed) - RESERVED)
            if extra:
                raise FileExtra(f"not signed: {', '.join(extra[:10])}" + (" and others" if len(extra) > 10 else ""))
            found.say("nothing else", "no file that was not signed")
    return BundleCheck(
        folder=str(folder),
        ok=statement is not None and all(check.ok for check in found.checks),
        artifact=artifact,
        key=signer.id if signer else None,
        checks=found.checks,
        statement=json.loads(payload) if statement else None,
    )


class _Checks:
    """Collects what holds and what does not."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def say(self, name: str, detail: str) -> None:
        self.checks.append(Check(name=name, ok=True, detail=detail))

    @contextmanager
    def check(self, name: str) -> Iterator[None]:
        """A refusal becomes a check that does not hold; anything else is raised on."""
        try:
            yield
        except ProvenanceError as error:
            self.checks.append(Check(name=name, ok=False, detail=error.detail, code=error.code, advice=error.hint))


def _opened(folder: Path, keys: Sequence[PublicKey]) -> tuple[str, bytes, PublicKey]:
    try:
        content = _read(folder / ENVELOPE_NAME)
    except FileNotFoundError:
        raise NotSigned(f"{ENVELOPE_NAME} is not there") from None
    except (OSError, ValueError) as error:
        raise EnvelopeUnreadable(f"{ENVELOPE_NAME} cannot be read: {error}") from None
    envelope = read_envelope(content)
    payload, signer = envelope.opened(keys)
    return envelope.payload_type, payload, signer


def _statement(payload_type: str, payload: bytes) -> Statement:
    if payload_type != PAYLOAD_TYPE:
        raise StatementInvalid(f"the payload is of the type '{payload_type}', not '{PAYLOAD_TYPE}'")
    try:
        return Statement.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors()[0]
        raise StatementInvalid(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _manifest(folder: Path, digest: str | None) -> Manifest:
    """The manifest, once its bytes are the signed ones."""
    if digest is None:
        raise StatementInvalid("the statement is not about a bundle's manifest")
    try:
        content = _read(folder / MANIFEST_NAME)
    except FileNotFoundError:
        raise ManifestChanged(f"{MANIFEST_NAME} is not there") from None
    except (OSError, ValueError) as error:
        raise ManifestChanged(f"{MANIFEST_NAME} cannot be read: {error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ManifestChanged(f"its SHA-256 is {found}, signed was {digest}")
    try:
        return Manifest.model_validate_json(content)
    except ValidationError:
        raise StatementInvalid("the signed manifest is not one that this version reads; a newer one may") from None


def _same(folder: Path, name: str, digest: str, size: int | None) -> int:
    """The file's size, when its bytes are the signed ones. ``size``: as the signed manifest has it, where it holds."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileChanged(f"{name} is not a plain file")
            if size is not None and status.st_size != size:
                raise FileChanged(f"{name} has {status.st_size} bytes, signed were {size}")
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise FileChanged(f"{name} cannot be read as a plain file: {error.strerror}") from None
    if found != digest:
        raise FileChanged(f"{name}: its SHA-256 is {found}, signed was {digest}")
    return status.st_size


def _files(folder: Path) -> set[str]:
    """Every file and link below the folder, by its POSIX path in it; folders count by what is in them."""
    found = set()
    for place, folders, files in os.walk(folder, onerror=_raise):
        names = files + [name for name in folders if (Path(place) / name).is_symlink()]
        found |= {(Path(place) / name).relative_to(folder).as_posix() for name in names}
    return found


def _raise(error: OSError) -> None:
    raise error


def _read(path: Path) -> bytes:
    """A small plain file. Raises ValueError for a large one, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return content
