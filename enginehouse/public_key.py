"""The farm's public keys: ed25519, with which anybody checks what the farm signed."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from enginehouse.errors import CryptographyMissing, PublicKeyUnreadable
from enginehouse.views import KeyView, Page

# The DER head of an ed25519 SubjectPublicKeyInfo (RFC 8410): the 32 bytes of the key follow it.
_HEAD = bytes.fromhex("302a300506032b6570032100")
_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
_MOST_BYTES = 2**20


@dataclass(frozen=True)
class PublicKey:
    """``raw``: its 32 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise PublicKeyUnreadable(f"an ed25519 public key has 32 bytes, not {len(self.raw)}")

    @property
    def id(self) -> str:
        """SHA-256 (hex) of its DER form: ``openssl pkey -pubin -in FILE -outform DER | sha256sum``."""
        return hashlib.sha256(_HEAD + self.raw).hexdigest()

    @property
    def pem(self) -> str:
        """As OpenSSL and others read it."""
        return f"{_BEGIN}\n{base64.b64encode(_HEAD + self.raw).decode()}\n{_END}\n"

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key's owner signed the message. Raises CryptographyMissing."""
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ModuleNotFoundError:
            raise CryptographyMissing from None
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def from_pem(text: str) -> list[PublicKey]:
    """Every public key of a PEM file. Raises PublicKeyUnreadable for one that is not ed25519."""
    found = []
    for block in text.split(_BEGIN)[1:]:
        try:
            der = base64.b64decode("".join(block.split(_END)[0].split()), validate=True)
        except (binascii.Error, ValueError):
            raise PublicKeyUnreadable("a PEM block is broken") from None
        if not der.startswith(_HEAD):
            raise PublicKeyUnreadable("a PEM block holds a key that is not ed25519")
        found.append(PublicKey(der[len(_HEAD) :]))
    return found


def from_views(views: list[KeyView]) -> list[PublicKey]:
    """The keys that a farm publishes."""
    return [key for view in views for key in from_pem(view.pem)]


def read_keys(path: Path) -> list[PublicKey]:
    """The keys in a file: PEM blocks, or the JSON of ``GET /v1/keys``. Raises PublicKeyUnreadable, OSError."""
    with path.open("rb") as stream:
        content = stream.read(_MOST_BYTES).decode(errors="replace")
    if "PRIVATE KEY-----" in content:
        raise PublicKeyUnreadable(f"{path} holds a private key: keep it secret, and give the public one")
    if content.lstrip().startswith("{"):
        try:
            found = from_views(Page[KeyView].model_validate_json(content).items)
        except ValidationError:
            raise PublicKeyUnreadable(f"{path} is not the JSON of GET /v1/keys") from None
    else:
        found = from_pem(content)
    if not found:
        raise PublicKeyUnreadable(f"{path} holds no public key")
    return found
