"""The artifact store: a port, a local and an S3 implementation that pass one conformance suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from scheduler.settings import Settings
from scheduler.store.local import LocalStore
from scheduler.store.port import ArtifactStore, ObjectMissing, content_disposition

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["ArtifactStore", "LocalStore", "ObjectMissing", "content_disposition", "store_from"]


def store_from(settings: Settings) -> ArtifactStore:
    """The store that the settings name. Nothing is asked of it yet: that is ``check()``."""
    url = urlsplit(settings.store)
    if url.scheme == "file":
        return LocalStore(Path(unquote(url.path)))
    from scheduler.store.s3 import S3Store  # boto3 costs 0.3 s, and a local farm has no use for it
    from scheduler.store.s3_connection import s3_client

    secret = settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else None

    def client(endpoint: str | None) -> S3Client:
        return s3_client(
            endpoint=endpoint,
            access_key=settings.s3_access_key,
            secret_key=secret,
            region=settings.s3_region,
            path_style=settings.s3_path_style,
        )

    return S3Store(
        url.netloc,
        url.path.strip("/"),
        client=client(settings.s3_endpoint),
        public_client=client(settings.s3_public_endpoint or settings.s3_endpoint),
        create_bucket=settings.s3_create_bucket,
    )
