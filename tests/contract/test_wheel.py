"""The wheel that is published: what is in it, and that it works with its declared dependencies and nothing else."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
from services.process import missing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check"]
    if find_spec("hatchling") is not None:
        command.append("--no-build-isolation")
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(ROOT)], capture_output=True, text=True, timeout=240, check=False
    )
    if done.returncode != 0 and "hatchling" in done.stderr and find_spec("hatchling") is None:
        missing("hatchling", "it is neither installed nor to be had from the package index")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content and its declared dependencies, theirs included, and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    waiting, seen = ["click", "httpx2", "packaging", "pydantic", "rich"], set()
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:  # behind a marker that does not hold here
            continue
        wanted = [each for each in found.requires or [] if "extra ==" not in each]
        waiting += [re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0] for each in wanted]
        for top in {Path(str(file)).parts[0] for file in found.files or [] if ".." not in Path(str(file)).parts}:
            source = Path(str(found.locate_file(top)))
            if source.exists() and top != "__pycache__":
                (folder / top).symlink_to(source)
    return folder


def python(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python that sees this folder and the standard library only."""
    start = f"import sys; sys.path.append({str(folder)!r}); sys.dont_write_bytecode = True\n"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", start + program, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=folder, env={"HOME": "/"}
    )


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"enginehouse", next(top for top in tops if re.fullmatch(r"enginehouse-.*\.dist-info", top))}
    assert {"enginehouse/py.typed", "enginehouse/cli/app.py", "enginehouse/client.py"} <= set(names)
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "enginehouse").rglob("*.py")}
    assert {name for name in names if name.startswith("enginehouse/") and name.endswith(".py")} == here
    assert not [name for name in names if name.endswith(".pyc")]


def test_its_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (place,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(place))
        scripts = archive.read(place.replace("METADATA", "entry_points.txt")).decode()
    required = metadata.get_all("Requires-Dist", [])
    plain = {re.split(r"[^a-z0-9-]", each)[0] for each in required if "extra ==" not in each}
    assert plain == {"click", "httpx2", "packaging", "pydantic", "rich"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "enginehouse = enginehouse.cli:main" in scripts


def test_every_module_imports_with_the_declared_dependencies_alone(alone: Path) -> None:
    modules = sorted(
        ".".join(path.relative_to(alone).with_suffix("").parts)
        for path in (alone / "enginehouse").rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"}
    )
    program = "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(len(sys.argv) - 1)"
    done = python(alone, program, *modules)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(modules) > 20


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--help"], 0, "Exit codes"),
        (["up"], 2, "runs from a checkout"),
        (["--url", "http://127.0.0.1:1", "job", "list"], 6, "farm.unreachable"),
        (["submit", "0" * 64, "-t", "openvino:fp99"], 2, "target.unknown_precision"),
    ],
)
def test_the_command_line_works_alone(alone: Path, arguments: list[str], status: int, says: str) -> None:
    done = python(alone, "from enginehouse.cli import run\nsys.exit(run(sys.argv[1:]))", *arguments)
    assert done.returncode == status, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
