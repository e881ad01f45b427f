"""DSSE: the envelope that carries a payload and its signatures (https://github.com/secure-systems-lab/dsse, 1.0).

What is signed is the payload together with its type. The key id beside a signature is a hint and proves nothing:
it is read only to say why no signature was accepted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from enginehouse.bundle import canonical_json
from enginehouse.errors import EnvelopeUnreadable, SignatureInvalid, SignerUnknown
from enginehouse.public_key import PublicKey

MOST_BYTES = 16 * 2**20
"""A larger envelope is not read."""


class Signature(BaseModel):
    """One signature, base64."""

    keyid: str = ""
    sig: str


class Envelope(BaseModel):
    """A payload (base64), its type, and who signed both."""

    model_config = ConfigDict(populate_by_name=True)

    payload: str
    payload_type: str = Field(alias="payloadType")
    signatures: list[Signature] = Field(min_length=1, max_length=64)

    def to_json(self) -> bytes:
        """The bytes that are kept, served and downloaded."""
        return canonical_json(self.model_dump(mode="json", by_alias=True))

    def opened(self, keys: Sequence[PublicKey]) -> tuple[bytes, PublicKey]:
        """The payload and the key that signed it, one of ``keys``.

        Raises SignerUnknown when the signatures name none of them, SignatureInvalid when they do and do not hold.
        """
        payload = decoded(self.payload)
        message = pae(self.payload_type, payload)
        for signature in self.signatures:
            for key in keys:
                if key.signed(message, decoded(signature.sig)):
                    return payload, key
        named = sorted({signature.keyid for signature in self.signatures})
        if {key.id for key in keys} & set(named):
            raise SignatureInvalid("the signature does not hold: the envelope was changed after it was signed")
        raise SignerUnknown(f"it was signed by {', '.join(named) or 'a key without an id'}, which is not trusted here")


def read_envelope(content: bytes) -> Envelope:
    """The envelope that these bytes are. Raises EnvelopeUnreadable."""
    try:
        return Envelope.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise EnvelopeUnreadable(f"it is no DSSE envelope: {place}: {first['msg']}") from None


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what a signature covers."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def decoded(text: str) -> bytes:
    """The bytes behind base64, of the standard or the URL-safe alphabet. Raises EnvelopeUnreadable."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeUnreadable("the envelope holds text that is not base64") from None
