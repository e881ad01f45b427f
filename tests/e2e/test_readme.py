"""Every command and example of the README runs as it stands there, against a real farm."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DEFAULT = "http://127.0.0.1:8470"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands(block: str) -> list[str]:
    return [line.removeprefix("$ ").partition(" #")[0].strip() for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def place(farm: EmbeddedFarm, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    shutil.copy(model_path("ppocr-cls"), tmp_path / "model.onnx")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    here = {"PYTHONPATH": str(ROOT), "PATH": path, "ENGINEHOUSE_URL": farm.url, "ENGINEHOUSE_TOKEN": farm.token}
    return tmp_path, {**os.environ, **here}


def run(script: list[str], place: tuple[Path, dict[str, str]]) -> str:
    folder, environment = place
    done = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_two_commands_exist_and_are_the_readmes_first():
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert commands(blocks("console")[0]) == ["make demo", "make test"]
    assert {"demo", "test", "up", "help", "lint", "bench"} <= set(targets)
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {target}" in listed for target in targets)


def test_the_command_lines_of_first_use(place):
    (block,) = [block for block in blocks("console") if "enginehouse submit" in block]
    out = run(["bash", "-euc", "\n".join(commands(block))], place)
    assert "openvino:fp16" in out
    assert list((place[0] / "out").rglob("manifest.json"))


def test_the_python_of_first_use(place):
    (block,) = blocks("python")
    out = run([sys.executable, "-c", block], place)
    assert len(re.findall(r"^openvino:fp(32|16) True \d+\.\d\dx$", out, re.MULTILINE)) == 2


def test_the_rest_of_first_use(farm: EmbeddedFarm, place):
    (block,) = [block for block in blocks("console") if "curl" in block]
    assert f"farm={DEFAULT}" in block
    script = "\n".join(commands(block)).replace(DEFAULT, farm.url)
    assert '"state"' in run(["bash", "-euc", script], place)


def test_every_file_that_the_readme_links_to_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
