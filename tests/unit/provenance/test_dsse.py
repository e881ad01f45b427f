"""The envelope: what is signed, which keys are taken, what cannot be read."""

from __future__ import annotations

import base64
import json

import pytest
from bundles import manifest, signer, statement
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enginehouse.dsse import Envelope, Signature, pae, read_envelope
from enginehouse.errors import EnvelopeUnreadable, SignatureInvalid, SignerUnknown

MINE, OTHER = signer(7).public, signer(8).public


def signed(payload: bytes = b"\xfb\xff\xbf>?", kind: str = "text/plain", keyid: str = "", seed: int = 7) -> Envelope:
    signature = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).sign(pae(kind, payload))
    return Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=kind,
        signatures=[Signature(keyid=keyid, sig=base64.b64encode(signature).decode())],
    )


def test_the_encoding_is_that_of_the_specification():
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("ä", b"") == "DSSEv1 2 ä 0 ".encode()


def test_the_farms_envelope_opens_with_its_key_and_names_it():
    made = signer().sign(statement(manifest()))
    assert read_envelope(made.to_json()) == made
    assert set(json.loads(made.to_json())) == {"payload", "payloadType", "signatures"}
    assert made.signatures[0].keyid == MINE.id
    payload, key = made.opened([OTHER, MINE])
    assert (payload, key) == (statement(manifest()).payload(), MINE)


def test_the_key_id_is_a_hint_and_nothing_else():
    assert signed(keyid="").opened([MINE])[1] == MINE
    assert signed(keyid=OTHER.id).opened([OTHER, MINE])[1] == MINE
    with pytest.raises(SignatureInvalid):
        signed(keyid=MINE.id, seed=8).opened([MINE])


def test_a_second_signature_may_be_the_trusted_one():
    both = signed(seed=8)
    both.signatures += signed().signatures
    assert both.opened([MINE])[1] == MINE


def test_either_base64_alphabet_is_taken():
    url_safe = signed()
    url_safe.payload = base64.urlsafe_b64encode(b"\xfb\xff\xbf>?").decode()
    assert "-" in url_safe.payload
    assert "_" in url_safe.payload
    assert url_safe.opened([MINE])[0] == b"\xfb\xff\xbf>?"


def test_a_foreign_key_is_refused_and_named():
    with pytest.raises(SignerUnknown, match=OTHER.id):
        signed(keyid=OTHER.id, seed=8).opened([MINE])
    with pytest.raises(SignerUnknown):
        signed().opened([])


@pytest.mark.parametrize("change", [{"payload_type": "text/html"}, {"payload": base64.b64encode(b"?").decode()}])
def test_what_was_changed_after_signing_is_refused(change):
    with pytest.raises(SignatureInvalid):
        signed(keyid=MINE.id).model_copy(update=change).opened([MINE])


@pytest.mark.parametrize("signature", [b"", b"short", b"\0" * 64, b"\xff" * 64])
def test_what_is_no_signature_is_refused(signature):
    made = signed(keyid=MINE.id)
    made.signatures[0].sig = base64.b64encode(signature).decode()
    with pytest.raises(SignatureInvalid):
        made.opened([MINE])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"payload": "", "payloadType": "", "signatures": []}',
        b'{"payload": "", "payloadType": "\\ud800", "signatures": [{"sig": ""}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_envelope_is_refused(content):
    with pytest.raises(EnvelopeUnreadable):
        read_envelope(content)


def test_text_that_is_not_base64_is_refused():
    with pytest.raises(EnvelopeUnreadable):
        signed().model_copy(update={"payload": "%%%"}).opened([MINE])
