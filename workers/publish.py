"""A finished bundle on its way to the farm: missing files first, then ``complete`` with the manifest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enginehouse.bundle import BundleFile
from enginehouse.errors import BuildCrashed
from enginehouse.uploads import part_size
from enginehouse.work import Claim, Complete, PublishFile, PublishRequest, PublishSlot
from workers.child.messages import Built
from workers.farm_client import FarmClient


@dataclass(frozen=True)
class _Piece:
    """A file of the bundle, cut into parts."""

    path: Path
    wanted: PublishFile


def publish(
    client: FarmClient, claim: Claim, built: Built, bundle: Path, given_up: Callable[[], bool] = lambda: False
) -> bool:
    """Upload what the farm lacks and complete the attempt; False where it was given up between two parts.

    Raises BuildCrashed for a bundle that lies.
    """
    manifest = built.manifest
    if manifest.model != claim.recipe.model or not claim.recipe.target.met_by(manifest.target):
        raise BuildCrashed("the build's manifest is of another model or target")
    pieces = [cut(bundle, file) for file in manifest.files]
    request = PublishRequest(fence=claim.fence, files=[piece.wanted for piece in pieces])
    reply = client.publish(claim.build, request, claim.request_id)
    uploads = []
    for piece, slot in zip(pieces, reply.slots, strict=True):
        if not slot.have:
            if not _send(client, piece, slot, given_up):
                return False
            if slot.upload is not None and slot.upload not in uploads:
                uploads.append(slot.upload)
    body = Complete(fence=claim.fence, uploads=uploads, manifest=manifest, report=built.report)
    client.complete(claim.build, body, claim.request_id)
    return True


def cut(bundle: Path, file: BundleFile) -> _Piece:
    """Hash the file and its parts. The build's process wrote it, so nothing about it is taken on trust."""
    path = bundle / file.path
    step = part_size(file.size)
    whole, parts, size = hashlib.sha256(), [], 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BuildCrashed(f"the build's file '{file.path}' cannot be opened: {error.strerror}") from error
    with os.fdopen(handle, "rb") as reader:
        status = os.fstat(reader.fileno())
        # A link to a file of the agent's would publish it.
        plain = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        if not plain or not path.resolve().is_relative_to(bundle.resolve()):
            raise BuildCrashed(f"the build's file '{file.path}' is not a plain file of its own folder")
        while data := reader.read(step):
            size += len(data)
            whole.update(data)
            parts.append(hashlib.sha256(data).hexdigest())
    if size != file.size or whole.hexdigest() != file.sha256:
        raise BuildCrashed(f"the build's file '{file.path}' is not what its manifest says")
    empty = hashlib.sha256().hexdigest()
    return _Piece(path, PublishFile(sha256=file.sha256, size=size, parts=parts or [empty]))


def _send(client: FarmClient, piece: _Piece, slot: PublishSlot, given_up: Callable[[], bool]) -> bool:
    step = part_size(piece.wanted.size)
    for index, part in enumerate(slot.parts):
        if given_up():
            return False
        start = index * step
        client.put(part, piece.path, start, min(step, piece.wanted.size - start))
    return True
