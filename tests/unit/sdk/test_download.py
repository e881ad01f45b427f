from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from enginehouse import errors
from enginehouse.bundle import BundleFile, Manifest
from enginehouse.connection import Connection
from enginehouse.download import destinations, download_artifact
from enginehouse.targets import parse_target

BIN = os.urandom(250_000)
FILES = {"model.bin": BIN, "deep/er/model.xml": b"<net/>", "odd name?#%.json": b"{}"}


def entry(path: str, data: bytes) -> BundleFile:
    return BundleFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=len(data), role="model")


def manifest(files: dict[str, bytes] = FILES) -> Manifest:
    return Manifest(
        model="0" * 64,
        target=parse_target("openvino:fp16"),
        entry="deep/er/model.xml",
        runtime={},
        hardware_class="cpu",
        files=[entry(path, data) for path, data in files.items()],
    )


def serve(farm: Any, files: dict[str, bytes] = FILES) -> str:
    from urllib.parse import quote

    return farm.serve_bundle(manifest().canonical(), {quote(path): data for path, data in files.items()})


def test_the_whole_bundle_comes_down(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = download_artifact(connection, serve(small_farm), tmp_path / "out", lambda *args: told.append(args))
    assert found == manifest()
    for path, data in FILES.items():
        assert (tmp_path / "out" / path).read_bytes() == data
    assert (tmp_path / "out/manifest.json").read_bytes() == manifest().canonical()
    assert not list((tmp_path / "out").rglob("*.part"))
    total = sum(map(len, FILES.values()))
    assert told[-1] == ("download", total, total)


def test_what_is_there_already_is_not_fetched_again(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = serve(small_farm)
    download_artifact(connection, artifact, tmp_path)
    before = len(small_farm.seen)
    download_artifact(connection, artifact, tmp_path)
    assert [call[1].rpartition("/")[2] for call in small_farm.seen[before:]] == [
        "manifest.json",
        "provenance.dsse.json",
    ]


def test_the_signed_provenance_comes_down_beside_the_manifest(
    small_farm: Any, connection: Connection, tmp_path: Path
) -> None:
    artifact = small_farm.serve_bundle(
        manifest({"a": b"a"}).canonical(), {"a": b"a", "provenance.dsse.json": b'{"payload": ""}'}
    )
    download_artifact(connection, artifact, tmp_path)
    assert (tmp_path / "provenance.dsse.json").read_bytes() == b'{"payload": ""}'


def test_an_artifact_from_before_signing_has_none_and_an_old_one_is_taken_away(
    small_farm: Any, connection: Connection, tmp_path: Path
) -> None:
    (tmp_path / "provenance.dsse.json").write_bytes(b"of another download")
    download_artifact(connection, serve(small_farm), tmp_path)
    assert not (tmp_path / "provenance.dsse.json").exists()
    assert (tmp_path / "manifest.json").exists()


def test_a_broken_download_goes_on_with_a_range(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = serve(small_farm)
    digest = hashlib.sha256(BIN).hexdigest()
    (tmp_path / f".model.bin.{digest[:12]}.part").write_bytes(BIN[:100_000])
    download_artifact(connection, artifact, tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == BIN
    assert small_farm.calls("model.bin")[0][2]["Range"] == "bytes=100000-"


def test_bad_bytes_of_an_earlier_run_are_thrown_away(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = serve(small_farm)
    digest = hashlib.sha256(BIN).hexdigest()
    (tmp_path / f".model.bin.{digest[:12]}.part").write_bytes(b"x" * 100_000)
    told: list[tuple[str, int, int]] = []
    download_artifact(connection, artifact, tmp_path, lambda *args: told.append(args))
    assert (tmp_path / "model.bin").read_bytes() == BIN
    assert told[-1][1] == told[-1][2]


def test_a_cut_connection_in_the_middle_is_resumed(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = serve(small_farm)

    def half(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(BIN)))
        request.end_headers()
        request.wfile.write(BIN[:120_000])
        request.wfile.flush()
        request.cut()

    small_farm.faults = [("model.bin", half)]
    download_artifact(connection, artifact, tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == BIN
    assert small_farm.calls("model.bin")[1][2]["Range"].startswith("bytes=")


def test_a_server_without_ranges_begins_again(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = serve(small_farm)
    digest = hashlib.sha256(BIN).hexdigest()
    (tmp_path / f".model.bin.{digest[:12]}.part").write_bytes(BIN[:1000])
    small_farm.faults = [("model.bin", lambda request: request.answer(200, BIN))]
    download_artifact(connection, artifact, tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == BIN


def test_wrong_bytes_are_refused_and_leave_nothing(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = serve(small_farm, {**FILES, "model.bin": BIN[:-1] + bytes([BIN[-1] ^ 1])})
    with pytest.raises(errors.StoreUnavailable, match=r"model\.bin came with SHA-256"):
        download_artifact(connection, artifact, tmp_path)
    assert not list(tmp_path.iterdir())


def test_too_many_bytes_are_refused(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = serve(small_farm, {**FILES, "model.bin": BIN + b"?"})
    with pytest.raises(errors.StoreUnavailable, match="more bytes"):
        download_artifact(connection, artifact, tmp_path)
    assert not (tmp_path / "model.bin").exists()


def test_a_manifest_of_another_artifact_is_refused(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    artifact = "a" * 64
    small_farm.route("GET", ".*manifest.json", lambda request: request.answer(200, manifest().canonical()))
    with pytest.raises(errors.StoreUnavailable, match="manifest"):
        download_artifact(connection, artifact, tmp_path)


def test_a_link_in_the_folder_does_not_lead_outside(small_farm: Any, connection: Connection, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "deep").symlink_to(outside)
    with pytest.raises(ValueError, match="outside"):
        download_artifact(connection, serve(small_farm), out)
    assert not list(outside.rglob("*.xml"))


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "a//b", "", "a\\b"])
def test_paths_that_leave_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    bad = manifest().model_copy(update={"files": [BundleFile.model_construct(path=path, sha256="0" * 64, size=0)]})
    with pytest.raises(ValueError, match="relative path"):
        destinations(bad.files, tmp_path)


def test_a_path_that_stands_for_two_things_is_refused(tmp_path: Path) -> None:
    for paths in (["a", "a"], ["manifest.json"]):
        bad = manifest().model_copy(update={"files": [entry(path, b"") for path in paths]})
        with pytest.raises(ValueError, match="twice"):
            destinations(bad.files, tmp_path)


def test_a_store_elsewhere_never_sees_the_token(
    small_farm: Any, other_host: Any, connection: Connection, tmp_path: Path
) -> None:
    artifact = serve(other_host)
    small_farm.route(
        "GET", "(/v1/.*)", lambda request: request.answer(302, b"", {"Location": other_host.url + request.path})
    )
    download_artifact(connection, artifact, tmp_path)
    assert (tmp_path / "model.bin").read_bytes() == BIN
    assert all("Authorization" not in headers for _, _, headers in other_host.seen)
