"""The cookie of a session: HttpOnly, SameSite=Lax, signed; over https Secure and bound to this host by its name."""

from __future__ import annotations

from hashlib import sha256

from flask import Request, Response
from itsdangerous import BadSignature, Signer

from scheduler.settings import Settings

_PLAIN = "enginehouse"
_SECURE = "__Host-enginehouse"
"""Browsers take this prefix over https alone, for all paths and for one host: no neighbour can plant a session."""


class SessionCookie:
    """What a browser holds of a session. The signature keeps what was made up from the registry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        key = settings.secret_key.get_secret_value()
        self._signer = Signer(key, salt="enginehouse.session", key_derivation="hmac", digest_method=sha256)

    def is_secure(self, request: Request) -> bool:
        """Whether browsers reach the farm over https."""
        return request.is_secure or (self._settings.public_url or "").startswith("https://")

    def read(self, request: Request) -> str | None:
        """The session's secret; None where there is none, or one that this farm has not signed."""
        text = request.cookies.get(self._name(request))
        if not text or not text.isascii():
            return None
        try:
            return self._signer.unsign(text).decode()
        except BadSignature:
            return None

    def give(self, request: Request, response: Response, secret: str) -> None:
        """Let the browser hold it; how long it is worth something is decided here and not there."""
        response.set_cookie(
            self._name(request),
            self._signer.sign(secret).decode(),
            max_age=self._settings.session_s,
            path="/",
            secure=self.is_secure(request),
            httponly=True,
            samesite="Lax",
        )

    def take(self, request: Request, response: Response) -> None:
        """Let the browser forget it."""
        secure = self.is_secure(request)
        response.delete_cookie(self._name(request), path="/", secure=secure, httponly=True, samesite="Lax")

    def _name(self, request: Request) -> str:
        return _SECURE if self.is_secure(request) else _PLAIN
