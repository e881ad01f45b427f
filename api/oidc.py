"""Signing in through an identity provider: OpenID Connect's code flow by Authlib: discovery, PKCE, state, nonce.

What must be remembered between the two halves (state, nonce, verifier, where to go on) lies in a cookie of this
browser, signed, and is used once. Nothing of the provider's tokens is kept.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Flask, Response, request, session
from flask.sessions import SecureCookieSessionInterface
from joserfc.errors import JoseError
from requests import RequestException

from api.cookies import SessionCookie
from enginehouse.errors import ProviderFailed
from scheduler.persons import Identity
from scheduler.settings import Settings

BACK = "/sign-in/provider/back"
"""The redirect address, below the farm's public one."""

_NEXT = "next"
_TIMEOUT_S = 10
_UNSIGNED = ("none", "HS256", "HS384", "HS512")
"""Ways of signing that prove nothing with a key that everybody can read."""

log = structlog.get_logger(__name__)


class Provider:
    """The provider that the settings name."""

    def __init__(self, app: Flask, settings: Settings, cookie: SessionCookie) -> None:
        assert settings.oidc_issuer is not None
        self._settings = settings
        self._issuer = settings.oidc_issuer
        app.secret_key = _key(settings)
        app.session_interface = _Between(cookie)
        secret = settings.oidc_client_secret
        client: dict[str, Any] = {
            "scope": settings.oidc_scopes,
            "code_challenge_method": "S256",
            "default_timeout": _TIMEOUT_S,
        }
        if secret is None:
            client["token_endpoint_auth_method"] = "none"  # noqa: S105 - the name of a method
        self._client = OAuth(app).register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret is not None else None,
            server_metadata_url=self._issuer.rstrip("/") + "/.well-known/openid-configuration",
            client_kwargs=client,
        )

    @property
    def name(self) -> str:
        """What people call it."""
        return self._settings.oidc_name

    def send(self, onward: str) -> Response:
        """Send the browser there. Raises ProviderFailed where the provider does not answer as one."""
        try:
            self._check()
            session.clear()
            session[_NEXT] = onward
            response = self._client.authorize_redirect(f"{self._settings.public_url}{BACK}")
        except (OAuthError, RequestException, ValueError, RuntimeError, KeyError) as error:
            raise _failed("the provider does not answer as one", error) from error
        return Response(status=303, headers={"Location": response.headers["Location"]})

    def receive(self) -> tuple[Identity, str]:
        """Whom the provider has sent back, and where they go on. Raises ProviderFailed for all that is not proven."""
        onward = str(session.get(_NEXT, "/"))
        try:
            metadata = self._check()
            token = self._client.authorize_access_token(
                claims_options={
                    "iss": {"essential": True, "value": self._issuer},
                    "aud": {"essential": True, "value": self._settings.oidc_client_id},
                    "sub": {"essential": True},
                }
            )
            claims = dict(token.get("userinfo") or {})
            if not claims.get("sub"):
                raise ValueError("no identity token came")
            if "email" not in claims and metadata.get("userinfo_endpoint"):
                more = dict(self._client.userinfo(token=token))
                if more.get("sub") != claims["sub"]:
                    raise ValueError("the provider speaks of somebody else")
                claims = {**more, **claims}
        except (OAuthError, JoseError, RequestException, ValueError, TypeError, RuntimeError, KeyError) as error:
            raise _failed("what came back from the provider is no proven sign-in", error) from error
        finally:
            session.clear()
        return self._identity(claims), onward

    def _check(self) -> dict[str, Any]:
        """What the provider says of itself, once it is the right one; signatures that prove nothing are taken out."""
        metadata: dict[str, Any] = self._client.load_server_metadata()
        if metadata.get("issuer") != self._issuer:
            metadata.pop("_loaded_at", None)  # it is read anew, once it is put right
            raise ValueError(f"the provider calls itself {metadata.get('issuer')!r}, the settings {self._issuer!r}")
        offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        metadata["id_token_signing_alg_values_supported"] = [one for one in offered if one not in _UNSIGNED]
        return metadata

    def _identity(self, claims: dict[str, Any]) -> Identity:
        groups = claims.get(self._settings.oidc_groups_claim) or []
        named = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        mail = claims.get("email") if claims.get("email_verified") is True else None
        return Identity(
            issuer=self._issuer,
            subject=str(claims["sub"])[:255],
            mail=str(mail) if mail else None,
            name=str(claims.get("name") or ""),
            groups=frozenset(str(one) for one in named),
        )


class _Between(SecureCookieSessionInterface):
    """The cookie between the two halves, under the rules of a session's own."""

    def __init__(self, cookie: SessionCookie) -> None:
        self._cookie = cookie

    def get_cookie_name(self, app: Flask) -> str:
        del app
        return "__Host-enginehouse-provider" if self._cookie.is_secure(request) else "enginehouse-provider"

    def get_cookie_secure(self, app: Flask) -> bool:
        del app
        return self._cookie.is_secure(request)

    def get_cookie_samesite(self, app: Flask) -> str:
        del app
        return "Lax"  # the provider's redirect is a navigation, with which it comes back


def safe_next(text: str | None) -> str:
    """An address of this farm to go on to; the first page where it is none. Pure."""
    plain = text is not None and text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if text is not None and plain and text.isprintable() and "\\" not in text else "/"


def _key(settings: Settings) -> str:
    return hmac.new(
        settings.secret_key.get_secret_value().encode(), b"enginehouse.provider", hashlib.sha256
    ).hexdigest()


def _failed(what: str, error: Exception) -> ProviderFailed:
    log.warning("provider.failed", what=what, error=type(error).__name__, says=str(error)[:300])
    return ProviderFailed(what)
