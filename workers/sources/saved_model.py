"""TensorFlow SavedModel: run by TensorFlow, made ONNX by tf2onnx."""

from __future__ import annotations

import shutil
from pathlib import Path

from enginehouse.archives import is_archive, unpack
from enginehouse.errors import ModelUnreadable
from enginehouse.formats import Format
from protos.saved_model import FILE
from workers.backends.base import Session, Setting
from workers.backends.workpiece import Source, Workpiece
from workers.sources import tf_onnx, tf_runtime
from workers.sources.base import SourceFormat


def folder(source: Source, work: Path) -> Path:
    """The SavedModel's folder: where its files lie, or what its archive is unpacked to in ``work``.

    Raises ModelUnreadable or one of its kinds, TooLarge.
    """
    if not is_archive(source.path):
        return source.folder
    place = work / "saved_model"
    if not place.exists():
        fresh = work / "saved_model.new"
        shutil.rmtree(fresh, ignore_errors=True)
        unpack(source.path, fresh)
        fresh.rename(place)
    found = sorted(place.rglob(FILE))
    if len(found) != 1:
        raise ModelUnreadable(f"the archive holds {len(found)} files {FILE}; there must be one")
    return found[0].parent


class SavedModelSource(SourceFormat):
    """The served signature of a SavedModel."""

    name = Format.SAVED_MODEL
    modules = ("tensorflow",)
    onnx_modules = tf_onnx.MODULES
    packages = ("tensorflow-cpu", "tensorflow", *tf_onnx.PACKAGES)

    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session:
        return tf_runtime.GraphSession(folder(source, work), source.signature, setting)

    def _to_onnx_impl(self, piece: Workpiece) -> Source:
        return tf_onnx.from_saved_model(piece.source, folder(piece.source, piece.work), piece.work)

    def _runtime_impl(self) -> str:
        return tf_runtime.runtime()


FORMAT = SavedModelSource()
