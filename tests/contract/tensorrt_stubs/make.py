"""Puts the real bindings of one TensorRT version over stub libraries: a folder that ``import tensorrt`` finds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.catalogue import Wheel
from zoo.fetch import wheel_member

HERE = Path(__file__).parent
_PINS = tomllib.loads((HERE / "wheels.toml").read_text())
VERSIONS: dict[str, dict[str, Any]] = {one["version"]: one for one in _PINS["versions"]}
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"
_LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser")


@dataclass(frozen=True)
class Bindings:
    """``site`` goes onto PYTHONPATH, ``libraries`` onto LD_LIBRARY_PATH."""

    site: Path
    libraries: Path


def make(version: str, folder: Path) -> Bindings:
    """Raises ZooError without an index, FileNotFoundError without gcc, KeyError for a Python without a pinned wheel."""
    pins = VERSIONS[version]
    wheel = Wheel(_PINS["package"], version, pins["wheels"][TAG], platform=_PINS["platform"])
    members = {"tensorrt_bindings/__init__.py": pins["init"], "tensorrt_bindings/tensorrt.so": pins["modules"][TAG]}
    package = folder / "site" / "tensorrt"
    package.mkdir(parents=True)
    for member, sha256 in members.items():
        shutil.copyfile(wheel_member(wheel, member, sha256, members.items()), package / Path(member).name)
    libraries = folder / "lib"
    libraries.mkdir()
    for name in _LIBRARIES:
        soname = f"{name}.so.{pins['soname']}"
        source = HERE / "stubs.c" if name == "libnvinfer" else "/dev/null"
        command = ["gcc", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{soname}", "-o", str(libraries / soname)]
        subprocess.run([*command, "-x", "c", str(source)], check=True, capture_output=True, text=True)
    return Bindings(folder / "site", libraries)
