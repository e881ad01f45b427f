"""Tokens: random, checksummed, kept as SHA-256; and who is behind one."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import Forbidden, NotFound, RequestError, Unauthenticated
from enginehouse.people import Role
from enginehouse.views import TokenView
from scheduler import audit, ids
from scheduler.farm import Farm
from scheduler.principal import SCOPES, with_implied
from scheduler.principal import Principal as Principal  # most of the farm knows it from here
from scheduler.projects import by_name
from scheduler.registry.engine import now
from scheduler.registry.tables import Member, Person, Project, Token

DEFAULT_PROJECT = "default"
_PREFIX = "eh_"
_USED_GRANULARITY = timedelta(minutes=5)


def mint() -> str:
    """A new secret: prefix, 32 random bytes, and a checksum by which a mistyped token is told from a revoked one."""
    body = secrets.token_urlsafe(32)
    return f"{_PREFIX}{body}{zlib.crc32(body.encode()):08x}"


def well_formed(text: str) -> bool:
    """Whether the text has the form of a minted token."""
    body, checksum = text[len(_PREFIX) : -8], text[-8:]
    return text.startswith(_PREFIX) and checksum == f"{zlib.crc32(body.encode()):08x}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def authenticate(session: Session, text: str) -> Principal:
    """The principal behind a token, or Unauthenticated. Reads only."""
    row = session.scalar(select(Token).where(Token.sha256 == _hash(text)))
    if row is None:
        detail = "the token is not one of this farm's" if well_formed(text) else "the token is mistyped or cut off"
        raise Unauthenticated(detail)
    if row.revoked is not None:
        raise Unauthenticated(f"the token '{row.name}' was revoked")
    if row.expires is not None and row.expires <= now(session):
        raise Unauthenticated(f"the token '{row.name}' has expired")
    if row.person_id is None:
        return Principal(row.id, row.project_id, frozenset(row.scopes), row.name)
    person, allowed = _behind(session, row)
    scopes = with_implied(row.scopes) & allowed
    return Principal(row.id, row.project_id, scopes, f"{person.login} ({row.name})", person.id)


def _behind(session: Session, row: Token) -> tuple[Person, frozenset[str]]:
    """Whose own token it is, and what they may do in its project now."""
    person = session.get_one(Person, row.person_id)
    if person.disabled is not None:
        raise Unauthenticated(f"the token '{row.name}' is {person.login}'s, who is refused")
    member = session.get(Member, (row.project_id, person.id))
    held = Role(member.role).scopes if member is not None else frozenset()
    allowed = with_implied(held | ({"operate"} if person.operator else frozenset()))
    if not allowed:
        raise Unauthenticated(f"the token '{row.name}' is {person.login}'s, who is no member of its project any more")
    return person, allowed


def touch(farm: Farm, principal: Principal) -> None:
    """Note that the token is in use, to within five minutes."""
    if principal.token is None:
        return
    with farm.read() as session:
        row = session.get(Token, principal.token)
        fresh = row is None or (row.last_used is not None and now(session) - row.last_used < _USED_GRANULARITY)
    if not fresh:
        with farm.write(durable=False) as session:
            session.get_one(Token, principal.token).last_used = now(session)


def loopback_principal(session: Session) -> Principal:
    """Who a request from the embedded farm's own machine acts as."""
    del session
    return Principal(None, DEFAULT_PROJECT, with_implied({"operate"}), "loopback")


def create(
    session: Session,
    principal: Principal,
    name: str,
    scopes: list[str],
    expires_days: int | None,
    project: str | None = None,
) -> tuple[TokenView, str]:
    """A new token and its secret, which is not kept. Only who operates the farm makes them for all of it.

    Raises RequestError, Forbidden or NotFound.
    """
    _check_scopes(scopes)
    if "work" in scopes and len(set(scopes)) > 1:
        raise RequestError("a worker's token has the scope 'work' and no other", field="scopes")
    mine = session.get_one(Project, principal.project)
    for_whole_farm = {"operate", "work"} & set(scopes)
    if (for_whole_farm or project not in (None, mine.name)) and not principal.may("operate"):
        what = f"the scope '{min(for_whole_farm)}'" if for_whole_farm else f"the project {project}"
        raise Forbidden(f"only a token with the scope 'operate' may make one with {what}", needs="operate")
    if project is not None:
        mine = by_name(session, project)
    return _made(session, mine.id, name, scopes, expires_days)


def create_own(
    session: Session, principal: Principal, name: str, scopes: list[str], expires_days: int
) -> tuple[TokenView, str]:
    """A person's own token for the project that they are in, and its secret. It ends, and allows what they may at most.

    Raises RequestError or Forbidden.
    """
    _check_scopes(scopes)
    beyond = sorted(scope for scope in scopes if not principal.may(scope))
    if beyond:
        raise Forbidden(f"your role in the project does not have the scope '{beyond[0]}'", needs=beyond[0])
    return _made(session, principal.project, name, scopes, expires_days, principal.person)


def list_(session: Session, principal: Principal) -> list[TokenView]:
    """The project's tokens, newest first; members' own among them."""
    rows = session.scalars(select(Token).where(Token.project_id == principal.project).order_by(Token.id.desc()))
    return [_view(session, row) for row in rows]


def list_own(session: Session, principal: Principal) -> list[TokenView]:
    """A person's own tokens, of all projects, newest first."""
    rows = session.scalars(select(Token).where(Token.person_id == principal.person).order_by(Token.id.desc()))
    return [_view(session, row) for row in rows]


def revoke(session: Session, principal: Principal, token: str) -> None:
    """The token is refused from now on."""
    row = session.get(Token, token)
    if row is None or row.project_id != principal.project:
        raise NotFound(f"there is no token {token}", token=token)
    _revoke(session, row)


def revoke_own(session: Session, principal: Principal, token: str) -> None:
    """A person's own token is refused from now on."""
    row = session.get(Token, token)
    if row is None or principal.person is None or row.person_id != principal.person:
        raise NotFound(f"you have no token {token}", token=token)
    _revoke(session, row)


def _revoke(session: Session, row: Token) -> None:
    row.revoked = row.revoked or now(session)
    audit.concerns(f"token {row.id} ({row.name})", row.project_id)


def _check_scopes(scopes: list[str]) -> None:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise RequestError(
            f"scopes are some of {', '.join(SCOPES)}, not {', '.join(unknown) or 'nothing'}", field="scopes"
        )


def _made(
    session: Session, project: str, name: str, scopes: list[str], expires_days: int | None, person: str | None = None
) -> tuple[TokenView, str]:
    secret = mint()
    moment = now(session)
    row = _row(project, name, secret, sorted(set(scopes)), moment)
    row.expires = moment + timedelta(days=expires_days) if expires_days else None
    row.person_id = person
    session.add(row)
    audit.concerns(f"token {row.id} ({name}): {', '.join(row.scopes)}", project)
    return _view(session, row), secret


def bootstrap(farm: Farm) -> None:
    """The default project, and the tokens that the settings name."""
    wanted = [
        ("admin", farm.settings.admin_token, ["admin", "operate", "read", "submit"]),
        ("worker", farm.settings.worker_token, ["work"]),
    ]
    with farm.write() as session:
        moment = now(session)
        if session.get(Project, DEFAULT_PROJECT) is None:
            session.add(Project(id=DEFAULT_PROJECT, name=DEFAULT_PROJECT, created=moment))
            session.flush()
        for name, secret, scopes in wanted:
            if secret is None:
                continue
            text = secret.get_secret_value()
            row = session.scalar(select(Token).where(Token.sha256 == _hash(text)))
            if row is None:
                session.add(_row(DEFAULT_PROJECT, f"{name} (settings)", text, scopes, moment))
            elif row.name == f"{name} (settings)":
                row.scopes = scopes  # a later version's may be more


def _row(project: str, name: str, secret: str, scopes: list[str], moment: datetime) -> Token:
    return Token(
        id=ids.new("token"),
        project_id=project,
        name=name,
        sha256=_hash(secret),
        scopes=scopes,
        created=moment,
        expires=None,
    )


def _view(session: Session, row: Token) -> TokenView:
    return TokenView(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        created=row.created,
        expires=row.expires,
        last_used=row.last_used,
        revoked=row.revoked,
        person=session.get_one(Person, row.person_id).login if row.person_id else None,
    )
