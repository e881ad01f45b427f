"""Public keys that the farm signs, or has signed, with; and ``python -m scheduler.keys`` to make and withdraw them.

To rotate, give the API processes another key: the old one stays published, so what it signed stays verifiable. A key
that leaked is withdrawn: what it signed is refused from then on by whoever asks the farm for its keys.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import EnginehouseError, NotFound, SigningKeyMissing
from enginehouse.public_key import PublicKey
from enginehouse.views import KeyView
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import SigningKey
from scheduler.settings import Settings


def enter(session: Session, key: PublicKey) -> None:
    """Publish the key that the farm signs with. Raises SigningKeyMissing for one that was withdrawn."""
    row = session.get(SigningKey, key.id)
    if row is None:
        session.add(SigningKey(id=key.id, pem=key.pem, created=now(session)))
    elif row.withdrawn is not None:
        raise SigningKeyMissing(f"the signing key {key.id} was withdrawn and may sign nothing more")


def bootstrap(farm: Farm) -> None:
    """Read the signing key and publish its public half, so that a farm without one does not start."""
    key = farm.signer.public
    with farm.write() as session:
        enter(session, key)


def published(farm: Farm) -> list[KeyView]:
    """Every key that was not withdrawn, newest first."""
    with farm.read() as session:
        query = select(SigningKey).where(SigningKey.withdrawn.is_(None))
        rows = list(session.scalars(query.order_by(SigningKey.created.desc(), SigningKey.id)))
    current = farm.signer.public.id
    return [KeyView(id=row.id, pem=row.pem, current=row.id == current, created=row.created) for row in rows]


def withdraw(farm: Farm, key: str) -> None:
    """Trust this key no more."""
    with farm.write() as session:
        row = session.get(SigningKey, key)
        if row is None:
            raise NotFound(f"there is no signing key {key}", advice="'enginehouse artifact keys' shows them.")
        row.withdrawn = row.withdrawn or now(session)


def make(file: Path) -> None:
    """Write a new private key, for its owner alone. Raises FileExistsError: a key is never overwritten."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(secrets.token_hex(32) + "\n")  # an ed25519 private key is 32 random bytes (RFC 8032, 5.1.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m scheduler.keys``."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.keys", description="The farm's signing keys.")
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make", help="write a new private key to a file that only its owner reads")
    made.add_argument("file", type=Path)
    gone = commands.add_parser("withdraw", help="publish a public key no more; first give the API another key")
    gone.add_argument("key", metavar="KEY", help="the key's id")
    given = parser.parse_args(arguments)
    try:
        if given.command == "make":
            make(given.file)
            said = f"Wrote {given.file}. Start every API process with ENGINEHOUSE_SIGNING_KEY_FILE={given.file}"
        else:
            farm = Farm(Settings())
            try:
                withdraw(farm, given.key)
            finally:
                farm.dispose()
            said = f"{given.key} is published no more"
    except OSError as error:
        sys.stderr.write(f"{given.file}: {error.strerror}\n")
        return 1
    except EnginehouseError as error:
        sys.stderr.write(f"{error.detail}. {error.hint}\n")
        return 1
    sys.stdout.write(said + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
