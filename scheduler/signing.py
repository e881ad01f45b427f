"""The farm's signing key: read from the settings, held in memory, never shown."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from enginehouse.dsse import Envelope, Signature, pae
from enginehouse.errors import SigningKeyMissing
from enginehouse.provenance import PAYLOAD_TYPE, Statement
from enginehouse.public_key import PublicKey

if TYPE_CHECKING:
    from scheduler.settings import Settings

_SEED = re.compile(r"[0-9a-fA-F]{64}")
_MOST_CHARACTERS = 16_384

log = structlog.get_logger(__name__)


class Signer:
    """Signs statements as the farm. Its repr shows the public key's id and nothing else."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.public.id})"

    def sign(self, statement: Statement) -> Envelope:
        """The statement in its envelope."""
        payload = statement.payload()
        signature = self._private.sign(pae(PAYLOAD_TYPE, payload))
        return Envelope(
            payload=base64.b64encode(payload).decode(),
            payload_type=PAYLOAD_TYPE,
            signatures=[Signature(keyid=self.public.id, sig=base64.b64encode(signature).decode())],
        )


def signer_from(settings: Settings) -> Signer:
    """The signer that the settings name. Raises SigningKeyMissing; no message holds anything of the key."""
    file = settings.signing_key_file
    if settings.signing_key is not None:
        return Signer(_read(settings.signing_key.get_secret_value(), "ENGINEHOUSE_SIGNING_KEY"))
    if file is None:
        raise SigningKeyMissing("neither ENGINEHOUSE_SIGNING_KEY nor ENGINEHOUSE_SIGNING_KEY_FILE is set")
    try:
        with file.open(encoding="ascii", errors="replace") as stream:
            text = stream.read(_MOST_CHARACTERS)
        mode = file.stat().st_mode
    except OSError as error:
        raise SigningKeyMissing(f"the signing key's file {file} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        log.warning("signing.key_readable_by_others", file=str(file), mode=oct(mode & 0o777))
    return Signer(_read(text, str(file)))


def _read(text: str, where: str) -> Ed25519PrivateKey:
    text = text.strip()
    if _SEED.fullmatch(text):
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text))
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyMissing(
            f"{where} holds neither 64 hexadecimal digits nor an ed25519 private key as PEM without a password"
        )
    return key
