"""Servers that list the checksums of parts, as AWS does, want them again on completion. SeaweedFS does not list them,
so the contract suite never sees that dialect: here the requests that it needs are checked against boto3's own model."""

from __future__ import annotations

import base64
import hashlib

from botocore.stub import ANY, Stubber

from scheduler.store.s3 import S3Store
from scheduler.store.s3_connection import s3_client


def checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_checksums_are_asked_for_and_given_back() -> None:
    client = s3_client(
        endpoint="http://127.0.0.1:1", access_key="a", secret_key="b", region="eu-west-1", path_style=True
    )
    store = S3Store("bucket", client=client)
    probe = {"Bucket": "bucket", "Key": "checksum-probe"}
    upload = {"Bucket": "bucket", "Key": "key", "UploadId": "u"}
    listed = [
        {"PartNumber": 1, "ETag": "e1", "Size": 5, "ChecksumSHA256": checksum(b"first")},
        {"PartNumber": 2, "ETag": "e2", "Size": 4, "ChecksumSHA256": checksum(b"last")},
    ]
    completed = [{name: part[name] for name in ("PartNumber", "ETag", "ChecksumSHA256")} for part in listed]
    with Stubber(client) as server:
        server.add_response("create_multipart_upload", {"UploadId": "p"}, {**probe, "ChecksumAlgorithm": "SHA256"})
        part = {**probe, "UploadId": "p", "PartNumber": 1, "Body": b"probe", "ChecksumSHA256": checksum(b"probe")}
        server.add_response("upload_part", {"ETag": "e"}, part)
        server.add_response("list_parts", {"Parts": [{"ChecksumSHA256": "x"}]}, {**probe, "UploadId": "p"})
        server.add_response("abort_multipart_upload", {}, {**probe, "UploadId": "p"})
        server.add_response(
            "create_multipart_upload",
            {"UploadId": "u"},
            {"Bucket": "bucket", "Key": "key", "ChecksumAlgorithm": "SHA256"},
        )
        handle = store.start("key")

        server.add_response("list_parts", {"Parts": listed}, upload)
        assert [part.sha256 for part in store.parts("key", handle)] == [
            hashlib.sha256(b"first").hexdigest(),
            hashlib.sha256(b"last").hexdigest(),
        ]

        server.add_response("list_parts", {"Parts": listed}, upload)
        server.add_response("complete_multipart_upload", {}, {**upload, "MultipartUpload": {"Parts": completed}})
        store.finish("key", handle, 9)
        server.assert_no_pending_responses()


def test_a_server_that_does_not_know_checksums_is_served_without() -> None:
    client = s3_client(endpoint="http://127.0.0.1:1", access_key="a", secret_key="b", region="x", path_style=True)
    store = S3Store("bucket", client=client)
    with Stubber(client) as server:
        server.add_client_error("create_multipart_upload", "NotImplemented")
        server.add_response("create_multipart_upload", {"UploadId": "u"}, {"Bucket": "bucket", "Key": "key"})
        assert store.start("key") == "u"
        server.add_response("create_multipart_upload", {"UploadId": "v"}, {"Bucket": ANY, "Key": "other"})
        assert store.start("other") == "v"  # it is asked once only
    client.close()
