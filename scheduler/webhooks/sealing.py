"""Secrets of webhooks: made here, shown once, and kept sealed.

A signature needs the secret itself, so a hash would not do. What is kept is encrypted with a key that is derived from
ENGINEHOUSE_SECRET_KEY and stands in no database: who reads a backup of the registry cannot forge events.
"""

from __future__ import annotations

import base64
import secrets

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scheduler.settings import Settings

_BYTES = 32
_PURPOSE = b"enginehouse webhook secrets 1"


class Unreadable(Exception):
    """It was sealed under another ENGINEHOUSE_SECRET_KEY."""


def mint() -> str:
    """A new secret in the form of Standard Webhooks: 'whsec_' and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


class Seal:
    """Closes and opens secrets. Its repr shows nothing."""

    def __init__(self, settings: Settings) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(settings.secret_key.get_secret_value().encode())
        self._box = Fernet(base64.urlsafe_b64encode(derived))

    def close(self, secret: str) -> str:
        """The secret as it is kept."""
        return self._box.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret itself. Raises Unreadable."""
        try:
            return self._box.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise Unreadable from None
