"""One suite that every artifact store passes: a local folder, and S3 on a real server."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from services.process import free_port, wait_until
from services.s3 import S3Bucket

from enginehouse.errors import DigestMismatch, NotFound, StoreUnavailable, UploadIncomplete
from enginehouse.views import PartView
from scheduler.settings import Settings
from scheduler.store import ArtifactStore, ObjectMissing, store_from

MIB = 1024**2
PART = 5 * MIB  # the least that S3 takes for a part that is not the last
KEY = "blobs/ab/abcdef"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two ranges are alike."""
    return hashlib.shake_128(seed.to_bytes(4, "big")).digest(size)


def chunked(data: bytes, size: int = 300_007) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def everything(store: ArtifactStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(store.open(key, start, end))


@dataclass
class Bench:
    """A store under test and the ways around it."""

    kind: str
    store: ArtifactStore
    again: Callable[[], ArtifactStore]
    objects: Callable[[], set[str]]
    overwrite: Callable[[str, bytes], None]
    leftovers: Callable[[], int]

    def send_part(self, handle: str, number: int, data: bytes, *, body: bytes | None = None, offset: int = -1) -> bool:
        """Send a part as a client does: presigned where the store is a server, else through the port."""
        body = data if body is None else body
        url = self.store.part_url(KEY, handle, number, sha(data), len(data), 60)
        if url is None:
            offset = (number - 1) * PART if offset < 0 else offset
            try:
                self.store.put_part(KEY, handle, number, offset, len(data), sha(data), chunked(body))
            except DigestMismatch:
                return False
            return True
        headers = dict(url.headers) | {"Content-Length": str(len(body))}
        return httpx2.put(url.url, content=body, headers=headers).status_code == 200


def s3_settings(s3: S3Bucket, **more: object) -> Settings:
    values = {
        "store": f"{s3.store}/some/prefix",
        "s3_endpoint": s3.endpoint,
        "s3_access_key": s3.access_key,
        "s3_secret_key": s3.secret_key,
        "secret_key": "x" * 32,
    }
    return Settings(**(values | more))


@pytest.fixture(params=["local", "s3"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "local":
        root = tmp_path / "store"
        settings = Settings(store=root.as_uri(), secret_key="x" * 32)

        def files(folder: str) -> set[str]:
            base = root / folder
            return {str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()}

        yield Bench(
            "local",
            store_from(settings),
            lambda: store_from(settings),
            objects=lambda: files("objects"),
            overwrite=lambda key, data: (root / "objects" / key).write_bytes(data) and None,
            leftovers=lambda: len(files("uploads")) + len(files("incoming")),
        )
        return
    s3: S3Bucket = request.getfixturevalue("s3")
    client = s3.client()
    prefix = "some/prefix/"

    def objects() -> set[str]:
        listed = client.list_objects_v2(Bucket=s3.bucket).get("Contents", [])
        assert all(entry["Key"].startswith(prefix) for entry in listed)
        return {entry["Key"].removeprefix(prefix) for entry in listed}

    yield Bench(
        "s3",
        store_from(s3_settings(s3)),
        lambda: store_from(s3_settings(s3)),
        objects=objects,
        overwrite=lambda key, data: client.put_object(Bucket=s3.bucket, Key=prefix + key, Body=data) and None,
        leftovers=lambda: len(client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", [])),
    )
    client.close()


class TestWholeObjects:
    @pytest.mark.parametrize("size", [0, 1, 300_007, 2 * MIB + 1])
    def test_what_goes_in_comes_out(self, bench: Bench, size: int) -> None:
        data = noise(size)
        assert bench.store.put(KEY, chunked(data)) == (sha(data), size)
        assert everything(bench.store, KEY) == data
        assert bench.store.size(KEY) == size
        assert bench.store.digest(KEY) == sha(data)
        assert bench.objects() == {KEY}

    def test_a_second_store_over_the_same_place_sees_it(self, bench: Bench) -> None:
        bench.store.put(KEY, iter([b"bytes"]))
        assert everything(bench.again(), KEY) == b"bytes"

    def test_range_reads_at_the_edges(self, bench: Bench) -> None:
        data = noise(2 * MIB + 5)
        bench.store.put(KEY, chunked(data))
        size = len(data)
        edges = (0, 1, MIB - 1, MIB, MIB + 1, size - 1, size, size + 10)
        for start, end in itertools.product(edges, (*edges, None)):
            assert everything(bench.store, KEY, start, end) == data[start:end], (start, end)

    def test_range_of_an_empty_object(self, bench: Bench) -> None:
        bench.store.put(KEY, iter(()))
        assert everything(bench.store, KEY, 0, 10) == b""
        assert everything(bench.store, KEY, 5) == b""

    def test_chunks_are_small_and_a_reader_may_be_dropped(self, bench: Bench) -> None:
        bench.store.put(KEY, chunked(noise(3 * MIB)))
        reader = bench.store.open(KEY)
        assert 0 < len(next(reader)) <= MIB
        reader.close()  # type: ignore[attr-defined]
        assert list(reader) == []
        bench.store.open(KEY)  # never read: no ResourceWarning

    def test_a_missing_object_is_told_at_once(self, bench: Bench) -> None:
        assert bench.store.size(KEY) is None
        for call in (bench.store.open, bench.store.digest, lambda key: bench.store.open(key, 3, 3)):
            with pytest.raises(ObjectMissing, match="abcdef"):
                call(KEY)

    def test_a_wrong_sha256_stores_nothing(self, bench: Bench) -> None:
        for size in (10, 17 * MIB):
            data = noise(size)
            with pytest.raises(DigestMismatch, match=sha(data)):
                bench.store.put(KEY, chunked(data), sha256=sha(b"other"))
        assert (bench.objects(), bench.leftovers()) == (set(), 0)
        assert bench.store.put(KEY, chunked(data), sha256=sha(data)) == (sha(data), 17 * MIB)

    @pytest.mark.parametrize("size", [100, 40 * MIB])
    def test_a_sender_that_breaks_off_leaves_nothing(self, bench: Bench, size: int) -> None:
        def broken() -> Iterator[bytes]:
            yield from chunked(noise(size))
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            bench.store.put(KEY, broken())
        assert (bench.objects(), bench.leftovers()) == (set(), 0)

    def test_delete(self, bench: Bench) -> None:
        bench.store.put(KEY, iter([b"bytes"]))
        bench.store.delete(KEY)
        bench.store.delete(KEY)
        assert bench.store.size(KEY) is None
        assert bench.objects() == set()

    def test_what_is_whole_is_listed_with_size_and_time(self, bench: Bench) -> None:
        assert list(bench.store.listed("blobs")) == []
        sizes = {f"blobs/{number:02}/one": number for number in range(30)}
        before = datetime.now(UTC) - timedelta(seconds=5)
        for key, size in sizes.items():
            bench.store.put(key, iter([noise(size)]))
        bench.store.put("blobsy/another", iter([b"x"]))
        bench.send_part(bench.store.start(KEY), 1, noise(PART))
        found = list(bench.store.listed("blobs"))
        assert {one.key: one.size for one in found} == sizes
        assert all(before < one.modified < datetime.now(UTC) + timedelta(seconds=5) for one in found)
        for one in found[:10]:
            bench.store.delete(one.key)
        assert {one.key for one in bench.store.listed("blobs")} == {one.key for one in found[10:]}

    @pytest.mark.parametrize("damage", [b"", b"byteX", b"bytesbytes"], ids=["emptied", "flipped", "longer"])
    def test_bytes_that_were_changed_behind_its_back_are_seen(self, bench: Bench, damage: bytes) -> None:
        digest, _ = bench.store.put(KEY, iter([b"bytes"]))
        bench.overwrite(KEY, damage)
        assert bench.store.digest(KEY) != digest

    def test_a_big_object_with_flat_memory(self, bench: Bench) -> None:
        size = 600 * MIB
        block = noise(MIB)
        bench.store.put("blobs/warm", iter([block]))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        digest, stored = bench.store.put(KEY, (block for _ in range(size // MIB)))
        assert stored == size
        assert bench.store.digest(KEY) == digest
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 160 * 1024, f"{grown} KiB more at the peak for {size // 1024} KiB"

    def test_many_threads(self, bench: Bench) -> None:
        wrong: list[int] = []

        def work(number: int) -> None:
            data = noise(400_000, number)
            bench.store.put(f"blobs/{number}", chunked(data))
            if everything(bench.store, f"blobs/{number}") != data:
                wrong.append(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(bench.objects()) == 8

    def test_hostile_keys(self, bench: Bench) -> None:
        for key in (
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".hidden",
            "a\0b",
            "a\nb",
            "ä",
            "a b",
            "x" * 513,
        ):
            with pytest.raises(ValueError, match="not a store key"):
                bench.store.put(key, iter([b"x"]))
            for call in (bench.store.open, bench.store.size, bench.store.delete, bench.store.start, bench.store.digest):
                with pytest.raises(ValueError, match="not a store key"):
                    call(key)
        assert bench.objects() == set()

    def test_check(self, bench: Bench) -> None:
        bench.store.check()
        assert bench.objects() == set()


class TestUploadsInParts:
    def test_parts_in_any_order(self, bench: Bench) -> None:
        data = noise(2 * PART + 77)
        handle = bench.store.start(KEY)
        for number in (3, 1, 2):
            assert bench.send_part(handle, number, data[(number - 1) * PART : number * PART])
        assert bench.objects() == set()  # nothing to see before it is finished
        assert [(part.number, part.size) for part in bench.store.parts(KEY, handle)] == [(1, PART), (2, PART), (3, 77)]
        bench.store.finish(KEY, handle, len(data))
        assert bench.store.digest(KEY) == sha(data)
        assert (bench.objects(), bench.leftovers()) == ({KEY}, 0)

    def test_listed_sha256_is_right_or_empty(self, bench: Bench) -> None:
        handle = bench.store.start(KEY)
        bench.send_part(handle, 1, b"part")
        (part,) = bench.store.parts(KEY, handle)
        assert part.sha256 in {sha(b"part"), ""}
        if bench.kind == "local":
            assert part == PartView(number=1, size=4, sha256=sha(b"part"))

    def test_one_part_and_no_part(self, bench: Bench) -> None:
        handle = bench.store.start(KEY)
        bench.send_part(handle, 1, b"all of it")
        bench.store.finish(KEY, handle, 9)
        assert everything(bench.store, KEY) == b"all of it"
        empty = bench.store.start("blobs/empty")
        bench.store.finish("blobs/empty", empty, 0)
        assert bench.store.size("blobs/empty") == 0
        assert bench.leftovers() == 0

    def test_a_wrong_part_is_refused_and_can_be_sent_again(self, bench: Bench) -> None:
        handle = bench.store.start(KEY)
        good = noise(PART)
        assert not bench.send_part(handle, 1, good, body=noise(PART, 1))
        assert not bench.send_part(handle, 1, good, body=good[:-1])
        assert not bench.send_part(handle, 1, good, body=good + b"!")
        assert bench.store.parts(KEY, handle) == []
        with pytest.raises(UploadIncomplete):
            bench.store.finish(KEY, handle, PART)
        assert bench.send_part(handle, 1, good)
        bench.store.finish(KEY, handle, PART)
        assert bench.store.digest(KEY) == sha(good)

    def test_resumed_by_another_process(self, bench: Bench) -> None:
        data = noise(2 * PART)
        handle = bench.store.start(KEY)
        bench.send_part(handle, 2, data[PART:])
        bench.store = bench.again()
        assert [part.number for part in bench.store.parts(KEY, handle)] == [2]
        bench.send_part(handle, 1, data[:PART])
        bench.store.finish(KEY, handle, len(data))
        assert bench.store.digest(KEY) == sha(data)

    def test_finish_refuses_what_is_not_whole(self, bench: Bench) -> None:
        data = noise(2 * PART + 5)
        handle = bench.store.start(KEY)
        with pytest.raises(UploadIncomplete):
            bench.store.finish(KEY, handle, len(data))
        bench.send_part(handle, 1, data[:PART])
        bench.send_part(handle, 3, data[2 * PART :])
        with pytest.raises(UploadIncomplete):  # the middle is missing
            bench.store.finish(KEY, handle, len(data))
        bench.send_part(handle, 2, data[PART : 2 * PART])
        for size in (len(data) - 1, len(data) + 1):
            with pytest.raises(UploadIncomplete):
                bench.store.finish(KEY, handle, size)
        assert bench.objects() == set()
        bench.store.finish(KEY, handle, len(data))
        assert bench.store.digest(KEY) == sha(data)

    def test_finishing_twice_does_nothing(self, bench: Bench) -> None:
        handle = bench.store.start(KEY)
        bench.send_part(handle, 1, b"bytes")
        bench.store.finish(KEY, handle, 5)
        bench.store.finish(KEY, handle, 5)
        assert everything(bench.store, KEY) == b"bytes"

    def test_abort_leaves_nothing(self, bench: Bench) -> None:
        handle = bench.store.start(KEY)
        bench.send_part(handle, 1, noise(PART))
        bench.store.abort(KEY, handle)
        bench.store.abort(KEY, handle)
        assert (bench.objects(), bench.leftovers()) == (set(), 0)
        with pytest.raises(NotFound):
            bench.store.parts(KEY, handle)
        with pytest.raises(NotFound):
            bench.store.finish(KEY, handle, PART)

    def test_only_stale_uploads_are_swept(self, bench: Bench) -> None:
        old = bench.store.start(KEY)
        bench.send_part(old, 1, noise(PART))
        time.sleep(2.1)  # S3 counts in whole seconds
        young = bench.store.start("blobs/young")
        assert bench.store.stale(3600) == 0
        assert bench.store.stale(1.5) == 1
        with pytest.raises(NotFound):
            bench.store.parts(KEY, old)
        assert bench.store.parts("blobs/young", young) == []

    @pytest.mark.parametrize("handle", ["", "..", "../..", "0" * 32, "a/b", "x\0", "key"])
    def test_unknown_and_hostile_handles(self, bench: Bench, handle: str) -> None:
        if bench.kind == "s3":
            handle = "0" * 32  # hostile ones cannot come so far: a handle is the server's own word
        bench.store.put("blobs/other", iter([b"x"]))
        with pytest.raises(NotFound):
            bench.store.finish(KEY, handle, 0)
        bench.store.abort(KEY, handle)
        assert bench.objects() == {"blobs/other"}

    def test_a_handle_is_good_for_its_own_key_only(self, bench: Bench) -> None:
        handle = bench.store.start(KEY)
        bench.send_part(handle, 1, b"bytes")
        with pytest.raises(NotFound):
            bench.store.finish("blobs/other", handle, 5)
        assert bench.store.size("blobs/other") is None


class TestPresigned:
    """Only a store that is a server gives addresses; a local one says so."""

    @pytest.fixture
    def s3_store(self, s3: S3Bucket) -> ArtifactStore:
        return store_from(s3_settings(s3))

    def test_a_local_store_gives_none_and_a_path(self, tmp_path: Path) -> None:
        store = store_from(Settings(store=tmp_path.as_uri(), secret_key="x" * 32))
        store.put(KEY, iter([b"bytes"]))
        assert store.presign_get(KEY, "model.onnx", 60) is None
        assert store.part_url(KEY, "0" * 32, 1, sha(b""), 0, 60) is None
        assert store.origins() == ()
        path = store.path(KEY)
        assert path is not None
        assert path.read_bytes() == b"bytes"

    def test_get_with_range_and_filename(self, s3_store: ArtifactStore) -> None:
        s3_store.put(KEY, iter([b"0123456789"]))
        url = s3_store.presign_get(KEY, "modèle 1.onnx", 60)
        assert url is not None
        whole = httpx2.get(url)
        assert whole.content == b"0123456789"
        assert whole.headers["content-disposition"] == (
            "attachment; filename=\"mod_le 1.onnx\"; filename*=UTF-8''mod%C3%A8le%201.onnx"
        )
        part = httpx2.get(url, headers={"Range": "bytes=3-5"})
        assert (part.status_code, part.content) == (206, b"345")
        assert part.headers["content-range"] == "bytes 3-5/10"
        assert s3_store.path(KEY) is None

    @pytest.mark.parametrize("path_style", [True, False])
    @pytest.mark.parametrize("endpoint", [None, "https://s3.example.org:9000"])
    def test_addresses_are_of_the_origins_that_pages_may_speak_with(
        self, endpoint: str | None, path_style: bool
    ) -> None:
        settings = Settings(
            store="s3://bucket/prefix",
            s3_public_endpoint=endpoint,
            s3_path_style=path_style,
            s3_region="eu-central-1",
            s3_access_key="key",
            s3_secret_key="secret",
            secret_key="x" * 32,
        )
        store = store_from(settings)
        part = store.part_url(KEY, "handle", 1, sha(b""), 0, 60)
        for url in (store.presign_get(KEY, "a", 60), part and part.url):
            assert url is not None
            parts = urlsplit(url)
            assert f"{parts.scheme}://{parts.netloc}" in store.origins()

    @pytest.mark.parametrize(
        "name", ["../../etc/passwd", 'a";x="b', "a\r\nSet-Cookie: x=1", "", "\x00", "\ud800", "a\\b"]
    )
    def test_hostile_filenames(self, s3_store: ArtifactStore, name: str) -> None:
        s3_store.put(KEY, iter([b"x"]))
        url = s3_store.presign_get(KEY, name, 60)
        assert url is not None
        answer = httpx2.get(url)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert answer.headers["content-disposition"].count('"') == 2
        assert "/" not in answer.headers["content-disposition"]

    def test_expired_and_altered_addresses_are_refused(self, s3_store: ArtifactStore) -> None:
        s3_store.put(KEY, iter([b"x"]))
        url = s3_store.presign_get(KEY, "a", 1)
        assert url is not None
        assert httpx2.get(url.replace("abcdef", "abcdeg")).status_code == 403
        handle = s3_store.start(KEY)
        part = s3_store.part_url(KEY, handle, 1, sha(b"x"), 1, 1)
        assert part is not None
        time.sleep(2.1)
        assert httpx2.get(url).status_code == 403
        assert httpx2.put(part.url, content=b"x", headers=part.headers).status_code == 403
        assert s3_store.parts(KEY, handle) == []

    def test_a_part_address_fits_no_other_bytes(self, s3_store: ArtifactStore) -> None:
        handle = s3_store.start(KEY)
        part = s3_store.part_url(KEY, handle, 1, sha(b"x"), 1, 60)
        assert part is not None
        other = {"x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha(b"y"))).decode()}
        assert httpx2.put(part.url, content=b"y", headers=part.headers | other).status_code == 403
        assert httpx2.put(part.url, content=b"y", headers=part.headers).status_code == 400
        assert httpx2.put(part.url, content=b"y").status_code == 403
        assert s3_store.parts(KEY, handle) == []

    def test_addresses_carry_the_public_endpoint(self, s3: S3Bucket) -> None:
        store = store_from(s3_settings(s3, s3_public_endpoint="https://s3.example.org:9000"))
        part = store.part_url(KEY, "handle", 1, sha(b"x"), 1, 60)
        for url in (store.presign_get(KEY, "a", 60), part and part.url):
            assert url is not None
            assert urlsplit(url)[:2] == ("https", "s3.example.org:9000")
            assert s3.secret_key not in url


class TestOutage:
    def test_no_server(self, tmp_path: Path) -> None:
        store = store_from(
            Settings(
                store="s3://bucket",
                s3_endpoint=f"http://127.0.0.1:{free_port()}",
                s3_access_key="a",
                s3_secret_key="b",
                secret_key="x" * 32,
            )
        )
        for call in (
            store.check,
            lambda: store.put(KEY, iter([b"x"])),
            lambda: store.open(KEY),
            lambda: store.size(KEY),
            lambda: store.start(KEY),
        ):
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                call()

    def test_a_bucket_that_is_missing(self, s3: S3Bucket) -> None:
        name = f"{s3.bucket}-new"
        with pytest.raises(StoreUnavailable, match=f"no bucket {name}"):
            store_from(s3_settings(s3, store=f"s3://{name}")).check()
        store = store_from(s3_settings(s3, store=f"s3://{name}", s3_create_bucket=True))
        store.check()
        store.check()
        store.put(KEY, iter([b"x"]))
        store.delete(KEY)
        client = s3.client()
        client.delete_bucket(Bucket=name)
        client.close()

    def test_a_wrong_secret(self, s3: S3Bucket) -> None:
        store = store_from(s3_settings(s3, s3_secret_key="wrong"))
        with pytest.raises(StoreUnavailable) as caught:
            store.check()
        assert "wrong" not in str(caught.value)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        store = store_from(Settings(store=(tmp_path / "file" / "store").as_uri(), secret_key="x" * 32))
        with pytest.raises(StoreUnavailable, match="Not a directory"):
            store.check()
        with pytest.raises(StoreUnavailable):
            store.put(KEY, iter([b"x"]))

    def test_a_full_disk(self, tmp_path: Path) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full")
        store = store_from(Settings(store=tmp_path.as_uri(), secret_key="x" * 32))
        handle = store.start(KEY)
        data = tmp_path / "uploads" / handle / "data"
        data.unlink()
        data.symlink_to("/dev/full")
        with pytest.raises(StoreUnavailable, match="No space left"):
            store.put_part(KEY, handle, 1, 0, 1, sha(b"x"), iter([b"x"]))


class TestLocalFiles:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "store"

    @pytest.fixture
    def store(self, root: Path) -> ArtifactStore:
        return store_from(Settings(store=root.as_uri(), secret_key="x" * 32))

    def test_nobody_else_can_read(self, store: ArtifactStore, root: Path) -> None:
        old = os.umask(0)
        try:
            store.put(KEY, iter([b"x"]))
            handle = store.start(KEY)
            store.put_part(KEY, handle, 1, 0, 1, sha(b"x"), iter([b"x"]))
        finally:
            os.umask(old)
        for path in (root, *root.rglob("*")):
            assert path.stat().st_mode & 0o077 == 0, path

    def test_a_late_sender_cannot_write_into_a_finished_object(self, store: ArtifactStore) -> None:
        handle = store.start(KEY)
        go, stop = threading.Event(), threading.Event()
        raised: list[BaseException] = []

        def slow() -> Iterator[bytes]:
            yield b"go"
            stop.set()
            go.wait(10)
            yield b"od"

        def send() -> None:
            try:
                store.put_part(KEY, handle, 1, 0, 4, sha(b"good"), slow())
            except NotFound as error:
                raised.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        assert stop.wait(10)
        store.put_part(KEY, handle, 1, 0, 4, sha(b"fine"), iter([b"fine"]))
        store.finish(KEY, handle, 4)
        go.set()
        thread.join()
        assert everything(store, KEY) == b"fine"
        assert len(raised) == 1

    def test_what_a_killed_writer_left_is_swept(self, store: ArtifactStore, root: Path) -> None:
        if (pid := os.fork()) == 0:  # the child dies in the middle of a put
            store.put(KEY, (b"x" * MIB for _ in iter(lambda: os.kill(os.getpid(), 9), 1)))
        os.waitpid(pid, 0)
        wait_until(lambda: len(list((root / "incoming").iterdir())) == 1, 5, "the rest of the killed put")
        assert store.size(KEY) is None
        assert store.stale(3600) == 0
        assert store.stale(-1) == 1
        assert list((root / "incoming").iterdir()) == []
