"""Public keys: their form, their id, and which files are taken for them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundles import signer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from enginehouse.errors import PublicKeyUnreadable
from enginehouse.public_key import PublicKey, read_keys
from enginehouse.views import KeyView, Page

KEY = signer().public


def test_its_pem_and_id_are_what_others_make_of_it():
    other = load_pem_public_key(KEY.pem.encode())
    assert other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() == KEY.pem
    der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert KEY.id == hashlib.sha256(der).hexdigest()


def test_a_file_may_hold_several_keys_and_words_between_them(tmp_path: Path):
    (tmp_path / "keys.pem").write_text(f"# mine\n{KEY.pem}\n# older\n{signer(8).public.pem}")
    assert read_keys(tmp_path / "keys.pem") == [KEY, signer(8).public]


def test_the_json_that_a_farm_publishes_is_taken(tmp_path: Path):
    view = KeyView(id=KEY.id, pem=KEY.pem, current=True, created=datetime.now(UTC))
    (tmp_path / "keys.json").write_text(Page[KeyView](items=[view]).model_dump_json())
    assert read_keys(tmp_path / "keys.json") == [KEY]


def pem_of(key: object) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"items": [{"id": "x"}]}',
        "-----BEGIN PUBLIC KEY-----\n%%%\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
        pem_of(X25519PrivateKey.generate()),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: str):
    (tmp_path / "key").write_text(content)
    with pytest.raises(PublicKeyUnreadable):
        read_keys(tmp_path / "key")


def test_a_private_key_is_refused_and_not_repeated(tmp_path: Path):
    private = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (tmp_path / "key").write_text(private)
    with pytest.raises(PublicKeyUnreadable, match="private") as error:
        read_keys(tmp_path / "key")
    assert private.splitlines()[1] not in str(error.value)


def test_a_key_has_32_bytes():
    with pytest.raises(PublicKeyUnreadable, match="32 bytes"):
        PublicKey(b"short")


def test_without_the_library_it_says_how_to_get_it(tmp_path: Path):
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from enginehouse.public_key import PublicKey\n"
        "from enginehouse.errors import CryptographyMissing\n"
        "try: PublicKey(bytes(32)).signed(b'', b'')\n"
        "except CryptographyMissing as error: print(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'enginehouse[verify]'" in done.stdout
