"""Who asks, and whether they may: tokens as Bearer or as a Basic password, and the embedded farm's loopback.

A token is never logged. A browser sends a remembered Basic password, and reaches loopback, on behalf of any
page that it shows; so both are taken only from this farm's own pages (Origin, Sec-Fetch-Site), and the
loopback also only under a loopback name (a foreign name that resolves to 127.0.0.1 is DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Set as AbstractSet
from enum import StrEnum
from urllib.parse import urlsplit

from flask import Request, g

from enginehouse.errors import Forbidden, Unauthenticated
from scheduler import tokens
from scheduler.farm import Farm
from scheduler.tokens import Principal

_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_TOUCH_S = 60.0
_TOUCHED = 10_000


class Scope(StrEnum):
    """What a route asks of a token. ``public`` asks for none; ``signed`` addresses carry their own signature."""

    PUBLIC = "public"
    SIGNED = "signed"
    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"
    OPERATE = "operate"
    WORK = "work"


TOKENLESS = frozenset({Scope.PUBLIC, Scope.SIGNED})


def allows(scopes: AbstractSet[str], needed: Scope) -> bool:
    """Whether these scopes suffice.

    ``admin`` implies the client scopes of its project, ``operate`` those and the whole farm's; ``work`` stands alone,
    both ways.
    """
    if needed in TOKENLESS:
        return True
    if needed in {Scope.WORK, Scope.OPERATE}:
        return needed in scopes
    return needed in scopes or Scope.ADMIN in scopes or Scope.OPERATE in scopes


def is_loopback_name(host: str) -> bool:
    """Whether a Host header (with or without port) names this machine's loopback."""
    name = _hostname(f"//{host}")
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_foreign(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Whether a browser says that another site's page made this request.

    Another port of the same machine is 'same-site', and still not us.
    """
    if fetch_site is not None and fetch_site not in {"same-origin", "none"}:
        return True
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


class Gate:
    """Who may pass, judged by one farm's tokens and settings."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._touched: dict[str, float] = {}

    def admit(self, request: Request, needed: Scope) -> Principal | None:
        """The one who asks, when they may. Raises Unauthenticated or Forbidden; None where no token is needed."""
        if needed in TOKENLESS:
            return None
        principal = self.identify(request)
        if not allows(principal.scopes, needed):
            raise Forbidden(f"this needs a token with the scope '{needed}'", needs=str(needed))
        return principal

    def identify(self, request: Request) -> Principal:
        """The one who asks. Raises Unauthenticated, or Forbidden for a request that another site's page made."""
        named = "Authorization" in request.headers
        principal = self._by_token(request) if named else self._by_loopback(request)
        g.principal_name = principal.name
        return principal

    def _by_token(self, request: Request) -> Principal:
        given = request.authorization
        text = None
        if given is not None and given.type == "bearer":
            text = given.token
        elif given is not None and given.type == "basic":
            if request.method not in _SAFE_METHODS and _foreign(request):
                raise Forbidden("another site's page made this request; a remembered password is not taken from it")
            text = given.password
        if not text or not text.isascii() or not text.isprintable():
            raise Unauthenticated("the Authorization header holds no token")
        with self._farm.read() as session:
            principal = tokens.authenticate(session, text)
        self._touch(principal)
        return principal

    def _touch(self, principal: Principal) -> None:
        """Note the token's use; the registry is asked at most once a minute and token."""
        moment, key = time.monotonic(), principal.token or ""
        if moment - self._touched.get(key, -_TOUCH_S) >= _TOUCH_S:
            if len(self._touched) > _TOUCHED:
                self._touched.clear()
            self._touched[key] = moment
            tokens.touch(self._farm, principal)

    def _by_loopback(self, request: Request) -> Principal:
        if not self._farm.settings.open_loopback or not _is_loopback_peer(request):
            raise Unauthenticated("no token was sent")
        if not is_loopback_name(request.host) or _foreign(request):
            raise Unauthenticated("without a token the farm answers only its own pages, under a loopback address")
        with self._farm.read() as session:
            return tokens.loopback_principal(session)


def _is_loopback_peer(request: Request) -> bool:
    # Behind a proxy on this machine every stranger looks like loopback.
    if any(name in request.headers for name in _PROXY_HEADERS):
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _foreign(request: Request) -> bool:
    return is_foreign(request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site"), request.host)


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
