"""The artifact store on an S3 server, through boto3.

Every body is sent with its SHA-256 (``x-amz-checksum-sha256``); servers that know the header refuse other bytes.
What a server ignores is caught by ``digest``, which reads back. A store must be made after a fork, not before.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlsplit

from typing_extensions import override

from enginehouse.errors import DigestMismatch, NotFound, StoreUnavailable, TooLarge, UploadIncomplete
from enginehouse.uploads import MAX_PARTS
from enginehouse.views import PartUrl, PartView
from scheduler.store.port import MIB, ArtifactStore, ObjectMissing, Stored, content_disposition, safe_key
from scheduler.store.s3_connection import Body, error_code, server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, PartTypeDef

_AWS = ".amazonaws.com"
_PART = 16 * MIB
_IN_FLIGHT = 3
"""A ``put`` holds up to four parts: three on their way and one being filled."""

_UNKNOWN_FEATURE = {"NotImplemented", "InvalidArgument", "InvalidRequest"}
_MISSING = {"404", "NoSuchKey", "NotFound"}


class _Where(TypedDict):
    Bucket: str
    Key: str


class S3Store(ArtifactStore):
    """Objects below ``prefix`` of a bucket. ``public_client`` signs addresses for clients and workers."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client: S3Client,
        public_client: S3Client | None = None,
        create_bucket: bool = False,
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._client = client
        self._public = public_client or client
        self._create_bucket = create_bucket
        self._lock = Lock()
        self._lists_checksums: bool | None = None

    # --- whole objects -----------------------------------------------------------------------

    def put(self, key: str, chunks: Iterator[bytes], *, sha256: str | None = None) -> tuple[str, int]:
        """Store all chunks under ``key``; return their SHA-256 (hex) and size."""
        where: _Where = {"Bucket": self.bucket, "Key": self._name(key)}
        digest, size = hashlib.sha256(), 0
        parts = _parts_of(chunks)
        first = next(parts)
        digest.update(first)
        second = next(parts, None)
        if second is None:
            _refuse_other(sha256, digest.hexdigest())
            with server():
                self._client.put_object(**where, Body=first, ChecksumSHA256=_base64(digest.digest()))
            return digest.hexdigest(), len(first)

        handle = self.start(key)
        try:
            with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="s3-put") as pool:
                pending: set[Future[CompletedPartTypeDef]] = set()
                done: list[CompletedPartTypeDef] = []
                for number, part in enumerate(_chain(first, second, parts), start=1):
                    if number > MAX_PARTS:
                        raise TooLarge(f"S3 takes no object of more than {MAX_PARTS * _PART} bytes this way")
                    if number > 1:
                        digest.update(part)
                    size += len(part)
                    if len(pending) >= _IN_FLIGHT:
                        ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                        done.extend(future.result() for future in ended)
                    pending.add(pool.submit(self._send_part, where, handle, number, part))
                _refuse_other(sha256, digest.hexdigest())
                done.extend(future.result() for future in wait(pending).done)
            self._complete(where, handle, sorted(done, key=lambda part: part["PartNumber"]))
        except BaseException:
            with suppress(StoreUnavailable):  # what cannot be aborted now is swept later
                self.abort(key, handle)
            raise
        return digest.hexdigest(), size

    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end), clipped to the object, in chunks of up to 1 MiB."""
        if end is not None and end <= start:
            if self.size(key) is None:
                raise self._lost(key)
            return iter(())
        whole = start == 0 and end is None
        extra: Any = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        try:
            with server():
                answer = self._client.get_object(Bucket=self.bucket, Key=self._name(key), **extra)
        except StoreUnavailable as error:
            if error_code(error.__cause__) in _MISSING:
                raise self._lost(key) from None
            if error_code(error.__cause__) in {"416", "InvalidRange"}:
                return iter(())
            raise
        return Body(answer["Body"])

    def size(self, key: str) -> int | None:
        """Bytes of the object, or None when there is none."""
        try:
            with server():
                return self._client.head_object(Bucket=self.bucket, Key=self._name(key))["ContentLength"]
        except StoreUnavailable as error:
            if error_code(error.__cause__) in _MISSING:
                return None
            raise

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        with server():
            self._client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def digest(self, key: str) -> str:
        """SHA-256 (hex) of the stored bytes, read back from the server."""
        digest = hashlib.sha256()
        for chunk in self.open(key):
            digest.update(chunk)
        return digest.hexdigest()

    @override
    def path(self, key: str) -> Path | None:
        """None: the bytes are elsewhere."""
        return None

    def presign_get(self, key: str, filename: str, seconds: int) -> str | None:
        """An address that serves the object as a download named ``filename``."""
        return self._public.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": self._name(key),
                "ResponseContentDisposition": content_disposition(filename),
                "ResponseContentType": "application/octet-stream",
            },
            ExpiresIn=seconds,
        )

    def origins(self) -> tuple[str, ...]:
        """The server's own, and the bucket's, whichever way the client addresses it."""
        server = urlsplit(self._public.meta.endpoint_url)
        hosts = [server.netloc, f"{self.bucket}.{server.netloc}"]
        if server.netloc.endswith(_AWS):  # some regions' buckets are addressed without the region
            hosts.append(f"{self.bucket}.s3{_AWS}")
        return tuple(f"{server.scheme}://{host}" for host in dict.fromkeys(hosts))

    # --- uploads in parts --------------------------------------------------------------------

    def start(self, key: str) -> str:
        """Begin a multipart upload; return its id."""
        checksums = self._keeps_checksums()
        with server():
            return self._begin(self._name(key), checksums=checksums)

    def part_url(self, key: str, handle: str, number: int, sha256: str, size: int, seconds: int) -> PartUrl | None:
        """A presigned PUT that fits only bytes of this size and SHA-256."""
        checksum = _base64(binascii.unhexlify(sha256))
        url = self._public.generate_presigned_url(
            "upload_part",
            Params={
                "Bucket": self.bucket,
                "Key": self._name(key),
                "UploadId": handle,
                "PartNumber": number,
                "ContentLength": size,
                "ChecksumSHA256": checksum,
            },
            ExpiresIn=seconds,
        )
        return PartUrl(number=number, url=url, headers={"Content-Length": str(size), "x-amz-checksum-sha256": checksum})

    @override
    def put_part(
        self, key: str, handle: str, number: int, offset: int, size: int, sha256: str, chunks: Iterator[bytes]
    ) -> PartView:
        """Never asked for: parts go to the server itself."""
        raise NotImplementedError("parts of this store are PUT to the addresses that part_url gives")

    def parts(self, key: str, handle: str) -> list[PartView]:
        """Parts that have arrived whole, by number; with their SHA-256 where the server tells it."""
        found = []
        for part in self._listed(key, handle):
            checksum = base64.b64decode(part.get("ChecksumSHA256", "")).hex()
            found.append(PartView(number=part["PartNumber"], size=part["Size"], sha256=checksum))
        return found

    def finish(self, key: str, handle: str, size: int) -> None:
        """Complete the multipart upload."""
        try:
            listed = self._listed(key, handle)
        except NotFound:
            if self.size(key) == size:  # finished before, by a call whose answer was lost
                return
            raise
        if size == 0:  # S3 completes no upload without parts
            self.put(key, iter(()))
            self.abort(key, handle)
            return
        numbers = [part["PartNumber"] for part in listed]
        missing = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
        if missing:
            raise UploadIncomplete(f"parts {', '.join(map(str, missing[:20]))} are missing", parts=missing[:20])
        received = sum(part["Size"] for part in listed)
        if received != size:
            raise UploadIncomplete(f"{received} of {size} bytes have arrived", received=received, size=size)
        self._complete({"Bucket": self.bucket, "Key": self._name(key)}, handle, [_completed(part) for part in listed])

    def abort(self, key: str, handle: str) -> None:
        """Forget the upload and its bytes, if it is there."""
        try:
            with server():
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=self._name(key), UploadId=handle)
        except StoreUnavailable as error:
            if error_code(error.__cause__) not in {"NoSuchUpload", *_MISSING}:
                raise

    def stale(self, older_than: float) -> int:
        """Abort multipart uploads begun more than ``older_than`` seconds ago; return how many."""
        oldest, swept = datetime.now(UTC) - timedelta(seconds=older_than), 0
        with server():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=f"{self.prefix}/" if self.prefix else ""
            )
            uploads = [upload for page in pages for upload in page.get("Uploads", [])]
            for upload in uploads:
                if upload["Initiated"] < oldest:
                    self._client.abort_multipart_upload(
                        Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    swept += 1
        return swept

    def listed(self, prefix: str) -> Iterator[Stored]:
        """Every object below a prefix, a page of a thousand at a time."""
        below = len(self._name("x")) - 1
        with server():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{self._name(prefix)}/"
            )
            for page in pages:
                for found in page.get("Contents", []):
                    yield Stored(found["Key"][below:], found["Size"], found["LastModified"])

    def check(self) -> None:
        """StoreUnavailable unless the bucket answers. Makes the bucket where the settings allow it."""
        try:
            with server():
                self._client.head_bucket(Bucket=self.bucket)
        except StoreUnavailable as error:
            code = error_code(error.__cause__)
            if code in {"404", "NoSuchBucket", "NotFound"} and self._create_bucket:
                self._make_bucket()
            elif code in {"404", "NoSuchBucket", "NotFound"}:
                raise StoreUnavailable(
                    f"there is no bucket {self.bucket}", advice="Create it, or set ENGINEHOUSE_S3_CREATE_BUCKET=true."
                ) from error
            else:
                raise

    # --- inside ------------------------------------------------------------------------------

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{safe_key(key)}" if self.prefix else safe_key(key)

    def _lost(self, key: str) -> ObjectMissing:
        return ObjectMissing(f"object {key} is not in bucket {self.bucket}", key=key)

    def _make_bucket(self) -> None:
        region = self._client.meta.region_name
        extra: Any = {}
        if region != "us-east-1" and "amazonaws.com" in self._client.meta.endpoint_url:
            extra = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            with server():
                self._client.create_bucket(Bucket=self.bucket, **extra)
        except StoreUnavailable as error:
            if error_code(error.__cause__) != "BucketAlreadyOwnedByYou":  # another process was faster
                raise

    def _begin(self, name: str, *, checksums: bool) -> str:
        extra: Any = {"ChecksumAlgorithm": "SHA256"} if checksums else {}
        return self._client.create_multipart_upload(Bucket=self.bucket, Key=name, **extra)["UploadId"]

    def _keeps_checksums(self) -> bool:
        """Whether the server lists the checksums of parts; found out once by trying.

        AWS refuses a part's SHA-256 unless the upload was begun with that algorithm, and then wants all of them
        again on completion. SeaweedFS wants them too and does not list them, so there it is begun without.
        """
        with self._lock:
            if self._lists_checksums is None:
                try:
                    self._lists_checksums = self._probe_checksums()
                except StoreUnavailable as error:
                    if error_code(error.__cause__) not in _UNKNOWN_FEATURE:
                        raise
                    self._lists_checksums = False
            return self._lists_checksums

    def _probe_checksums(self) -> bool:
        where: _Where = {"Bucket": self.bucket, "Key": self._name("checksum-probe")}
        with server():
            handle = self._begin(where["Key"], checksums=True)
            try:
                self._send_part(where, handle, 1, b"probe")
                listed = self._client.list_parts(**where, UploadId=handle).get("Parts", [])
            finally:
                self._client.abort_multipart_upload(**where, UploadId=handle)
        return all("ChecksumSHA256" in part for part in listed)

    def _send_part(self, where: _Where, handle: str, number: int, body: bytes) -> CompletedPartTypeDef:
        checksum = _base64(hashlib.sha256(body).digest())
        with server():
            answer = self._client.upload_part(
                **where, UploadId=handle, PartNumber=number, Body=body, ChecksumSHA256=checksum
            )
        part: CompletedPartTypeDef = {"PartNumber": number, "ETag": answer["ETag"]}
        if self._lists_checksums:
            part["ChecksumSHA256"] = checksum
        return part

    def _listed(self, key: str, handle: str) -> list[PartTypeDef]:
        try:
            with server():
                pages = self._client.get_paginator("list_parts").paginate(
                    Bucket=self.bucket, Key=self._name(key), UploadId=handle
                )
                parts = [part for page in pages for part in page.get("Parts", [])]
        except StoreUnavailable as error:
            if error_code(error.__cause__) in {"NoSuchUpload", *_MISSING}:
                raise NotFound("the upload is not open any more: start it again") from None
            raise
        return sorted(parts, key=lambda part: part["PartNumber"])

    def _complete(self, where: _Where, handle: str, parts: list[CompletedPartTypeDef]) -> None:
        with server():
            self._client.complete_multipart_upload(**where, UploadId=handle, MultipartUpload={"Parts": parts})


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _refuse_other(declared: str | None, received: str) -> None:
    if declared is not None and declared != received:
        raise DigestMismatch(f"declared SHA-256 {declared}, received {received}")


def _completed(part: PartTypeDef) -> CompletedPartTypeDef:
    done: CompletedPartTypeDef = {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
    if "ChecksumSHA256" in part:
        done["ChecksumSHA256"] = part["ChecksumSHA256"]
    return done


def _parts_of(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Chunks of any size as parts of one size; the last may be shorter. At least one, if an empty one."""
    buffer = bytearray()
    empty = True
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            taken = view[: _PART - len(buffer)]
            buffer += taken
            view = view[len(taken) :]
            if len(buffer) == _PART:
                yield bytes(buffer)
                empty = False
                buffer.clear()
    if buffer or empty:
        yield bytes(buffer)


def _chain(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest
