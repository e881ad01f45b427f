"""How the S3 store talks to its server: the boto3 client, its errors, the body of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from enginehouse.errors import StoreUnavailable
from scheduler.store.port import CHUNK

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client


def s3_client(
    *, endpoint: str | None, access_key: str | None, secret_key: str | None, region: str, path_style: bool
) -> S3Client:
    """A boto3 client as the store needs it. It may be shared by threads."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path" if path_style else "virtual"},
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=32,
            # boto3's newer defaults add checksums that many servers refuse (boto3 #4392); we add our own.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class Body:
    """The body of an answer in chunks. Closes the connection at the end, by ``close()``, or when dropped unread."""

    def __init__(self, body: StreamingBody) -> None:
        self._body: StreamingBody | None = body

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        if self._body is not None:
            with server():
                chunk = self._body.read(CHUNK)
            if chunk:
                return chunk
            self.close()
        raise StopIteration

    def close(self) -> None:
        """Give the connection up."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def __del__(self) -> None:
        self.close()


@contextmanager
def server() -> Iterator[None]:
    """What boto3 raises is the store's failure; the original stays the cause."""
    try:
        yield
    except ClientError as error:
        problem = error.response.get("Error", {})
        raise StoreUnavailable(
            f"the S3 server refused {error.operation_name}: {problem.get('Code', '?')} {problem.get('Message', '')}",
            advice="Check the ENGINEHOUSE_S3_* settings and the server's log.",
        ) from error
    except BotoCoreError as error:
        raise StoreUnavailable(
            f"the S3 server cannot be reached: {error}",
            advice="Check ENGINEHOUSE_S3_ENDPOINT and that the server runs.",
        ) from error


def error_code(error: BaseException | None) -> str:
    """S3's code of an error, or '' when the server did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
