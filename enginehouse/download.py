"""Downloads: resumable; files are checked against their SHA-256, a manifest against the artifact's id."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import httpx2

from enginehouse.bundle import ENVELOPE_NAME, MANIFEST_NAME, RESERVED, BundleFile, Manifest, safe_path
from enginehouse.connection import BUSY, TRIES, Answered, Connection, error_from, pause
from enginehouse.errors import FarmUnreachable, NotFound, StoreUnavailable
from enginehouse.signature import ModelFile
from enginehouse.sources import CHUNK, Progress, no_progress
from enginehouse.transfer import LONG_S, Counter

File = BundleFile | ModelFile


def download_artifact(
    connection: Connection, artifact: str, folder: Path, progress: Progress = no_progress
) -> Manifest:
    """Bring a whole bundle into ``folder``; what is there already and right is kept. The manifest comes last.

    The signed provenance lies beside it, where the artifact has one; it is brought, and not checked.
    Raises StoreUnavailable when bytes do not match, ValueError when a name would leave the folder, OSError.
    """
    content = _read(connection, f"/v1/artifacts/{artifact}/files/{MANIFEST_NAME}")
    if hashlib.sha256(content).hexdigest() != artifact:
        raise StoreUnavailable(f"the manifest that came is not that of artifact {artifact}", artifact=artifact)
    manifest = Manifest.model_validate_json(content)
    download_files(connection, f"/v1/artifacts/{artifact}/files", manifest.files, folder, progress)
    try:
        _write(folder / ENVELOPE_NAME, _read(connection, f"/v1/artifacts/{artifact}/files/{ENVELOPE_NAME}"))
    except NotFound:  # built before the farm signed
        (folder / ENVELOPE_NAME).unlink(missing_ok=True)
    _write(folder / MANIFEST_NAME, content)
    return manifest


def download_files(
    connection: Connection, address: str, files: Sequence[File], folder: Path, progress: Progress = no_progress
) -> None:
    """Bring files from under ``address`` into ``folder``, which is made; what is there already and right is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    counter = Counter("download", sum(file.size for file in files), progress)
    for file, place in destinations(files, folder):
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.parent.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{file.path!r} would be written outside {folder}: a link stands in its way")
        _bring(connection, f"{address}/{quote(file.path)}", file, place, counter)


def destinations(files: Sequence[File], folder: Path) -> list[tuple[File, Path]]:
    """Where each file goes. Raises ValueError for a path that leaves the folder or stands for two things."""
    seen = set(RESERVED)
    places = []
    for file in files:
        path = safe_path(file.path)
        if path in seen:
            raise ValueError(f"{path!r} is named twice")
        seen.add(path)
        places.append((file, folder / path))
    return places


def _bring(connection: Connection, url: str, file: File, place: Path, counter: Counter) -> None:
    """One file: into a partial file beside its place, checked, then renamed."""
    if (
        place.is_file()
        and not place.is_symlink()
        and place.stat().st_size == file.size
        and _digest(place) == file.sha256
    ):
        counter.add(file.size)
        return
    partial = place.with_name(f".{place.name}.{file.sha256[:12]}.part")
    if partial.is_symlink() or (partial.exists() and partial.stat().st_size > file.size):
        partial.unlink()
    before = counter.done
    for _ in range(2):
        counter.add(before - counter.done)
        found = _fill(connection, url, file, partial, counter)
        if found == file.sha256:
            partial.replace(place)
            return
        partial.unlink()  # what an earlier run left may be bad: once more from the start
    raise StoreUnavailable(
        f"{file.path} came with SHA-256 {found}, its manifest says {file.sha256}", file=file.path, sha256=found
    )


def _fill(connection: Connection, url: str, file: File, partial: Path, counter: Counter) -> str:
    """Bring the partial file to its full size and return its SHA-256; goes on after lost connections."""
    failures, first = 0, True
    while True:
        digest = hashlib.sha256()
        with partial.open("a+b") as stream:
            stream.seek(0)
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
            have = stream.tell()
            if first:
                counter.add(have)
            first, started = False, have
            if have >= file.size:
                return digest.hexdigest()
            headers = {"Range": f"bytes={have}-"} if have else {}
            retry_after = None
            try:
                with connection.open("GET", url, headers=headers, timeout=LONG_S, redirects=3) as response:
                    if have and response.status_code != 206:
                        stream.truncate(0)
                        digest = hashlib.sha256()
                        counter.add(-have)
                        have = 0
                    for chunk in response.iter_raw():
                        have += len(chunk)
                        if have > file.size:
                            raise StoreUnavailable(f"{file.path} came with more bytes than its manifest says")
                        stream.write(chunk)
                        digest.update(chunk)
                        counter.add(len(chunk))
                if have == file.size:
                    return digest.hexdigest()
            except Answered as answer:
                if answer.response.status_code not in BUSY or failures + 1 >= TRIES:
                    raise error_from(answer.response) from None
                retry_after = answer.response.headers.get("retry-after")
            except (FarmUnreachable, httpx2.TransportError) as error:
                if failures + 1 >= TRIES:
                    if isinstance(error, FarmUnreachable):
                        raise
                    raise FarmUnreachable(f"the download of {file.path} broke off {TRIES} times: {error}") from error
        # Only tries that brought nothing count: a large file may outlive many lost connections.
        failures = 1 if have > started else failures + 1
        time.sleep(pause(failures - 1, retry_after, random.random()))  # noqa: S311 - jitter, not a secret


def _read(connection: Connection, url: str) -> bytes:
    """A small file whole, redirects followed."""
    for attempt in range(TRIES):
        try:
            with connection.open("GET", url, redirects=3) as response:
                return response.read()
        except Answered as answer:
            if answer.response.status_code not in BUSY or attempt + 1 == TRIES:
                raise error_from(answer.response) from None
        except FarmUnreachable:
            if attempt == 0:
                raise
        except httpx2.TransportError as error:
            if attempt + 1 == TRIES:
                raise FarmUnreachable(f"{url} broke off {TRIES} times: {error}") from error
        time.sleep(pause(attempt, None, random.random()))  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")


def _write(place: Path, content: bytes) -> None:
    """A small file that appears whole."""
    partial = place.with_name(f".{place.name}.part")
    partial.write_bytes(content)
    partial.replace(place)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
