"""Who asks, and whether they may: tokens as Bearer or as a Basic password, sessions, and the embedded farm's loopback.

A token is never logged. A browser sends a session's cookie and a remembered Basic password, and reaches loopback, on
behalf of any page that it shows; so all three are taken only from this farm's own pages (Origin, Sec-Fetch-Site), and
the loopback also only under a loopback name (a foreign name that resolves to 127.0.0.1 is DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Set as AbstractSet
from enum import StrEnum
from urllib.parse import urlsplit

from flask import Request, g

from api.cookies import SessionCookie
from enginehouse.errors import Forbidden, Unauthenticated
from scheduler import sessions, tokens
from scheduler.farm import Farm
from scheduler.principal import Principal, with_implied

_PROXY_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_TOUCH_S = 60.0
_TOUCHED = 10_000


class Scope(StrEnum):
    """What a route asks of who asks. ``public`` asks for nothing; ``signed`` addresses carry their own signature.

    ``person`` is for whoever is signed in, whatever they may beside that.
    """

    PUBLIC = "public"
    SIGNED = "signed"
    READ = "read"
    SUBMIT = "submit"
    MAINTAIN = "maintain"
    ADMIN = "admin"
    OPERATE = "operate"
    WORK = "work"
    PERSON = "person"


TOKENLESS = frozenset({Scope.PUBLIC, Scope.SIGNED})


def allows(scopes: AbstractSet[str], needed: Scope) -> bool:
    """Whether these scopes, with what they imply, suffice."""
    return needed in TOKENLESS or needed in with_implied(scopes)


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
        self.cookie = SessionCookie(farm.settings)
        self._touched: dict[str, float] = {}

    def admit(self, request: Request, needed: Scope) -> Principal | None:
        """The one who asks, when they may. Raises Unauthenticated or Forbidden; None where no token is needed."""
        if needed in TOKENLESS:
            return None
        principal = self.identify(request)
        if not allows(principal.scopes, needed):
            raise _refused(principal, needed)
        return principal

    def identify(self, request: Request) -> Principal:
        """The one who asks. Raises Unauthenticated, or Forbidden for a request that another site's page made."""
        if "Authorization" in request.headers:
            principal = self._by_token(request)
        else:
            principal = self._by_session(request) or self._by_loopback(request)
        g.principal_name, g.principal = principal.name, principal
        return principal

    def _by_session(self, request: Request) -> Principal | None:
        """Whose session it is; None where there is none, or one that has ended and the loopback is open."""
        secret = self.cookie.read(request)
        if secret is None:
            return None
        if request.method not in _SAFE_METHODS and self.is_foreign(request):
            raise Forbidden("another site's page made this request; a session is not taken from it")
        try:
            with self._farm.read() as session:
                principal, is_old = sessions.find(session, self._farm.settings, secret)
        except Unauthenticated:
            if self._farm.settings.open_loopback:
                return None
            raise
        if is_old:
            sessions.touch(self._farm, principal)
        return principal

    def is_foreign(self, request: Request) -> bool:
        """As ``is_foreign``, by the farm's public name too: a proxy may ask us under another one."""
        public = self._farm.settings.public_url
        hosts = [request.host, *([urlsplit(public).netloc] if public else [])]
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        return all(is_foreign(origin, site, host) for host in hosts)

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


def _refused(principal: Principal, needed: Scope) -> Forbidden:
    if needed is Scope.PERSON:
        return Forbidden(
            "this is for persons who are signed in", advice="Sign in on the farm's pages.", needs=str(needed)
        )
    if principal.session is None:
        return Forbidden(f"this needs a token with the scope '{needed}'", needs=str(needed))
    if not principal.project:
        return Forbidden(
            "you are a member of no project", advice="Ask an admin of one to make you one.", needs=str(needed)
        )
    return Forbidden(
        f"your role in the project does not have the scope '{needed}'",
        advice="Ask an admin of the project for a role that has it.",
        needs=str(needed),
    )


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
