"""The private key: where it may come from, what it looks like, and that nothing shows it."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError
from structlog.testing import capture_logs

from enginehouse.errors import SigningKeyMissing
from scheduler import keys
from scheduler.settings import Settings
from scheduler.signing import signer_from

SEED = "0123456789abcdef" * 4


def pem(password: bytes | None = None) -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED))
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


def settings(tmp_path: Path, **more: object) -> Settings:
    return Settings(data_dir=tmp_path, secret_key="k" * 32, **more)


def test_digits_and_pem_from_a_setting_or_a_file_are_the_same_key(tmp_path: Path):
    (tmp_path / "digits").write_text(SEED + "\n")
    (tmp_path / "pem").write_text(pem())
    found = {
        signer_from(settings(tmp_path, **given)).public
        for given in (
            {"signing_key": SEED},
            {"signing_key": pem()},
            {"signing_key_file": tmp_path / "digits"},
            {"signing_key_file": tmp_path / "pem"},
        )
    }
    assert len(found) == 1


def test_no_key_is_an_error_that_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(SigningKeyMissing) as error:
        signer_from(settings(tmp_path))
    assert "python -m scheduler.keys make FILE" in error.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(SigningKeyMissing, match="gone"):
        signer_from(settings(tmp_path, signing_key_file=tmp_path / "gone"))


def test_two_keys_are_one_too_many(tmp_path: Path):
    with pytest.raises(ValidationError, match="not both"):
        settings(tmp_path, signing_key=SEED, signing_key_file=tmp_path / "key")


@pytest.mark.parametrize(
    "text",
    [
        SEED[:-1],
        SEED + "0",
        "not a key",
        pem(b"password"),
        generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    ],
)
def test_what_is_no_key_is_refused_without_repeating_it(tmp_path: Path, text: str):
    with pytest.raises(SigningKeyMissing) as error:
        signer_from(settings(tmp_path, signing_key=text))
    told = "".join(traceback.format_exception(error.value))
    assert not any(line in told for line in text.splitlines() if len(line) > 20 and "-----" not in line)


def test_nothing_shows_the_key(tmp_path: Path):
    given = settings(tmp_path, signing_key=SEED)
    signer = signer_from(given)
    for shown in (repr(given), str(given), repr(signer), str(signer), given.model_dump_json()):
        assert SEED not in shown
    assert signer.public.id in repr(signer)


def test_a_made_key_is_its_owners_alone_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "key"
    assert keys.main(["make", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    said = capsys.readouterr().out
    assert str(file) in said
    assert file.read_text().strip() not in said
    first = signer_from(settings(tmp_path, signing_key_file=file)).public
    assert keys.main(["make", str(file)]) == 1
    assert "exists" in capsys.readouterr().err
    assert signer_from(settings(tmp_path, signing_key_file=file)).public == first
    assert keys.main(["make", str(tmp_path / "other")]) == 0
    assert signer_from(settings(tmp_path, signing_key_file=tmp_path / "other")).public != first


def test_a_key_file_that_others_can_read_is_warned_of(tmp_path: Path):
    keys.make(tmp_path / "key")
    with capture_logs() as logs:
        signer_from(settings(tmp_path, signing_key_file=tmp_path / "key"))
        assert logs == []
        (tmp_path / "key").chmod(0o644)
        signer_from(settings(tmp_path, signing_key_file=tmp_path / "key"))
    assert [line["event"] for line in logs] == ["signing.key_readable_by_others"]
    assert (tmp_path / "key").read_text().strip() not in str(logs)
