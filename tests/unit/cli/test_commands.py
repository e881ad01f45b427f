"""The command line itself: help, documents, errors, exit codes. No farm is needed here."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from enginehouse import __version__, errors
from enginehouse.cli import run, up
from enginehouse.cli.app import ENTRIES, root
from enginehouse.cli.exit_codes import MEANINGS, ExitCode
from enginehouse.cli.failures import status_of
from enginehouse.gates import Gates

DOCS = Path(__file__).parents[3] / "docs" / "cli.md"
HEAVY = {"httpx2", "pydantic", "rich", "ssl", "onnx", "numpy", "enginehouse.client", "enginehouse.errors"}


def every_command() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for sub, found in command.commands.items():
                yield f"{name} {sub}", found
        else:
            yield name, command


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("ENGINEHOUSE_URL", url)
    monkeypatch.setenv("ENGINEHOUSE_HOME", str(tmp_path))
    monkeypatch.delenv("ENGINEHOUSE_TOKEN", raising=False)
    return url


def test_the_lists_line_is_the_commands_own() -> None:
    context = click.Context(root)
    for name, entry in ENTRIES.items():
        command = root.get_command(context, name)
        assert command is not None
        expected = "Build MODEL for one or more targets." if name == "submit" else command.get_short_help_str(200)
        listed = entry.summary.replace("a model for", "MODEL for") if name == "submit" else entry.summary
        assert listed.rstrip(".") in expected.rstrip(".") or expected.startswith(listed.rstrip(".")), name


def test_the_documents_name_every_command_option_and_exit_code() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, command in every_command():
        words = name.split()
        assert f"enginehouse {name}" in text, name
        section = text.split(f"\n## enginehouse {words[0]}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for flag in (*parameter.opts, *parameter.secondary_opts):
                    where = section if flag.startswith("--") else text  # -q is the same everywhere
                    assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", where), (name, flag)
    for code, meaning in MEANINGS.items():
        assert f"| {int(code)} | {meaning} |" in text
    for variable in ("ENGINEHOUSE_URL", "ENGINEHOUSE_TOKEN", "ENGINEHOUSE_HOME", "--url", "--version"):
        assert f"`{variable}" in text or f"enginehouse {variable}" in text
    for gate in Gates.model_fields:
        assert f"`{gate}`" in text


def test_the_documents_name_no_option_that_does_not_exist() -> None:
    known = {flag for _, command in every_command() for p in command.params for flag in (*p.opts, *p.secondary_opts)}
    known |= {"--url", "--version", "--help", "-h"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCS.read_text(encoding="utf-8")))
    assert named <= known


def test_every_exit_code_has_a_meaning_and_stands_in_help() -> None:
    assert set(MEANINGS) == set(ExitCode)
    text = " ".join(CliRunner().invoke(root, ["--help"]).output.split())
    for code in ExitCode:
        assert f"{int(code)} {code.meaning}" in text


def test_every_command_has_help_for_itself_and_its_options() -> None:
    for name, command in every_command():
        assert command.help, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (name, parameter.name)
        if name != "up":
            assert CliRunner().invoke(root, [*name.split(), "--help"]).exit_code == 0


def test_submits_help_names_every_gate() -> None:
    text = " ".join(CliRunner().invoke(root, ["submit", "--help"]).output.split())
    for gate in Gates.model_fields:
        assert gate in text


def test_every_read_has_json() -> None:
    without = {name for name, command in every_command() if "as_json" not in {p.name for p in command.params}}
    removing = {"token revoke", "model delete", "dataset delete", "webhook delete", "person sign-out", "member remove"}
    assert without == {*removing, "up", "fingerprint"}  # the last prints JSON only


def fresh(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ENGINEHOUSE_", "COV"))} | more
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=env, timeout=60, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["job", "--help"], ["submit", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from enginehouse.cli import run; "
        f"status = run({arguments!r}); print(*sys.modules, file=sys.stderr); sys.exit(status)"
    )
    done = fresh("-c", program)
    assert done.returncode == 0
    assert not HEAVY & set(done.stderr.split())


def test_importing_the_package_is_cheap_and_its_face_is_lazy() -> None:
    program = "import sys, enginehouse; heavy = set(sys.modules); from enginehouse import Client, parse_target, Gates; "
    program += "print('pydantic' in heavy, 'httpx2' in heavy, Client.__module__, parse_target('openvino:int8'))"
    assert fresh("-c", program).stdout.split() == ["False", "False", "enginehouse.client", "openvino:int8"]


def test_the_face_has_every_name_that_it_lists() -> None:
    import enginehouse

    for name in enginehouse.__all__:
        assert getattr(enginehouse, name) is not None
        assert name in dir(enginehouse)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        enginehouse.Nothing  # noqa: B018


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out.strip() == f"enginehouse, version {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["job", "nothing"],
        ["submit"],
        ["submit", "x.onnx"],
        ["submit", "no-such-file.onnx", "-t", "openvino:fp16"],
        ["submit", "a" * 64, "-t", "openvino"],
        ["submit", "a" * 64, "-t", "openvino:fp17"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--gate", "speed=1"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--gate", "min_speedup=0"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--gate", "min_speedup=fp32:1"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--gate", "min_speedup=openvino:fp32:1", "--no-benchmark"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--baseline", "openvino:fp17"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--baseline", "auto"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--baseline", "openvino:fp32@cpu"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--shape", "x"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--option", "tensorrt.x=1"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--time-limit", "soon"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--memory-limit", "1M"],
        ["submit", "a" * 64, "-t", "openvino:fp16", "--no-wait", "--out", "x"],
        ["job", "list", "--state", "happy"],
        ["job", "list", "--limit", "201"],
        ["--url", "farm.example.org", "job", "list"],
    ],
)
def test_a_wrong_command_line_says_so_before_anything_is_sent(
    nowhere: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Error: " in captured.err
    assert "Traceback" not in captured.err


def test_the_nearest_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs"]) == ExitCode.USAGE
    assert "Did you mean 'job'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["job", "list"], ["job", "show", "job_1"], ["job", "wait", "job_1"], ["worker", "list", "--json"],
     ["submit", "a" * 64, "-t", "openvino:fp16"], ["token", "create", "x"]],
)  # fmt: skip
def test_a_farm_that_is_not_there(nowhere: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == ExitCode.UNREACHABLE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"Error farm.unreachable: the farm at {nowhere} cannot be reached")
    assert "enginehouse up" in captured.err


def test_a_file_that_cannot_be_read(nowhere: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["model", "push", str(tmp_path / "none.onnx"), "-q"]) == ExitCode.LOCAL
    assert run(["model", "push", str(tmp_path), "-q"]) == ExitCode.LOCAL
    assert "none.onnx: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFound, ExitCode.NOT_FOUND),
        (errors.Unauthenticated, ExitCode.DENIED),
        (errors.Forbidden, ExitCode.DENIED),
        (errors.Conflict, ExitCode.REFUSED),
        (errors.ModelUnreadable, ExitCode.REFUSED),
        (errors.TooLarge, ExitCode.REFUSED),
        (errors.FarmUnreachable, ExitCode.UNREACHABLE),
        (errors.NotReady, ExitCode.UNREACHABLE),
        (errors.StoreUnavailable, ExitCode.UNREACHABLE),
        (errors.InternalError, ExitCode.UNREACHABLE),
    ],
)
def test_the_exit_code_of_an_error(error: type[errors.EnginehouseError], code: ExitCode) -> None:
    assert status_of(error("x")) is code


def test_doctor_where_there_is_no_farm(nowhere: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == ExitCode.UNREACHABLE
    out = capsys.readouterr().out
    assert f"ok      address: {nowhere} (from ENGINEHOUSE_URL)" in out
    assert "not ok  farm: " in out


def test_doctor_where_the_address_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ENGINEHOUSE_URL", "farm")
    assert run(["doctor"]) == ExitCode.USAGE
    assert "not ok  address" in capsys.readouterr().out


def test_up_takes_the_farms_place(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(up, "is_checkout", lambda: True)
    monkeypatch.setattr(os, "execv", lambda path, arguments: called.append((path, arguments)))
    assert run(["up", "--port", "0", "--workers", "2"]) == ExitCode.OK
    assert called == [(sys.executable, [sys.executable, "-m", "farm", "--port", "0", "--workers", "2"])]


def test_up_without_a_checkout_says_how(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(up, "is_checkout", lambda: False)
    assert run(["up"]) == ExitCode.USAGE
    assert "runs from a checkout or its container image" in capsys.readouterr().err
    assert run(["up", "--help"]) == ExitCode.OK


def test_a_strangers_module_of_the_farms_name_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "farm.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "farm", raising=False)
    assert not up.is_checkout()


def test_a_closed_pipe_is_no_error() -> None:
    script = f"{sys.executable} -m enginehouse --help; echo status $? >&2"
    done = subprocess.run(["bash", "-c", f"({script}) | true"], capture_output=True, text=True, timeout=30, check=False)
    assert "Traceback" not in done.stderr
    assert re.search(r"status (0|141)\n", done.stderr)
