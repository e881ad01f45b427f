"""Real children are confined, then try what they must not be able to do."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import members, stop
from sandbox.network import instructions
from sandbox.writes import version

ROOT = Path(__file__).resolve().parents[3]


def confined(work: Path, body: str, **settings: Any) -> Any:
    """Run ``body`` in a confined process; it sets ``answer``."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    code = (
        "import errno, json, os, signal, socket, sys\nfrom pathlib import Path\n"
        f"from sandbox import Confinement, confine\nwork = Path({str(work)!r})\n"
        f"held = confine(Confinement(writable=(work,), {arguments}))\n"
        "def refused(call):\n"
        "    try:\n        call()\n    except OSError as error:\n        return errno.errorcode[error.errno]\n"
        "    return 'allowed'\n" + textwrap.dedent(body) + "\nprint(json.dumps(answer))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_listener_on_loopback_cannot_be_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()  # it is there
        answer = confined(
            tmp_path,
            f"""
            answer = [
                refused(lambda: socket.create_connection(("127.0.0.1", {port}))),
                refused(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)),
                refused(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
                refused(lambda: [end.close() for end in socket.socketpair()]),
            ]
            """,
        )
    assert answer == ["EACCES", "EACCES", "EACCES", "allowed"]


def test_a_grandchild_has_no_network_either(tmp_path: Path) -> None:
    answer = confined(
        tmp_path,
        """
        import subprocess
        code = "import socket; socket.socket()"
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
        """,
    )
    assert "PermissionError" in answer


def test_it_cannot_leave_its_group(tmp_path: Path) -> None:
    answer = confined(
        tmp_path,
        """
        pid = os.fork()
        if pid == 0:
            results = [refused(os.setsid), refused(lambda: os.setpgid(0, 0))]
            os._exit(0 if results == ["EACCES", "EACCES"] else 1)
        answer = [os.waitpid(pid, 0)[1], os.getpgid(0) == os.getpid() == os.getsid(0)]
        """,
    )
    assert answer == [0, True]


@pytest.mark.skipif(not version(), reason="this kernel has no Landlock")
def test_it_writes_only_in_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("before")
    inside = tmp_path / "work"
    inside.mkdir()
    answer = confined(
        inside,
        f"""
        outside = Path({str(outside)!r})
        answer = [
            held,
            refused(lambda: (work / "a").write_text("x")),
            refused(lambda: Path("/dev/null").write_text("x")),
            refused(lambda: outside.write_text("x")),
            refused(lambda: outside.unlink()),
            refused(lambda: (outside.parent / "new").mkdir()),
            refused(lambda: (work / "a").rename(outside.parent / "b")),
        ]
        """,
    )
    assert answer[:3] == [True, "allowed", "allowed"]
    assert set(answer[3:]) <= {"EACCES", "EXDEV"}
    assert outside.read_text() == "before"


@pytest.mark.skipif(version() < 6, reason="this kernel's Landlock does not scope signals")
def test_it_cannot_signal_a_process_outside(tmp_path: Path) -> None:
    answer = confined(tmp_path, f"answer = refused(lambda: os.kill({os.getpid()}, signal.SIGCONT))")
    assert answer == "EPERM"


def test_limits_hold(tmp_path: Path) -> None:
    answer = confined(
        tmp_path,
        """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            bytearray(200 << 20)
            memory = "allowed"
        except MemoryError:
            memory = "refused"
        answer = [
            memory,
            refused(lambda: (work / "big").write_bytes(bytes(1 << 20))),
            resource.getrlimit(resource.RLIMIT_CORE),
            resource.getrlimit(resource.RLIMIT_NOFILE),
        ]
        """,
        memory_bytes=100 << 20,
        file_bytes=1 << 16,
        open_files=64,
    )
    assert answer == ["refused", "EFBIG", [0, 0], [64, 64]]


def test_root_is_nobody_special(tmp_path: Path) -> None:
    answer = confined(
        tmp_path,
        """
        status = Path("/proc/self/status").read_text().splitlines()
        answer = [line.split()[1] for line in status if line.startswith(("CapEff", "CapPrm", "NoNewPrivs", "Seccomp:"))]
        """,
    )
    assert answer == ["0" * 16, "0" * 16, "1", "2"]


def test_a_hidden_process_shows_no_environment(tmp_path: Path) -> None:
    code = "import sys; from sandbox.privileges import hide; hide()\nprint('ready', flush=True); sys.stdin.read()"
    secret = {**os.environ, "SECRET": "hunter2"}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=secret, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        answer = confined(tmp_path, f"answer = refused(lambda: open('/proc/{holder.pid}/environ').read())")
        assert holder.stdin is not None
        holder.stdin.close()
    assert answer in ("EACCES", "EPERM")


def test_it_dies_with_its_parent() -> None:
    code = textwrap.dedent(
        """
        import os, time
        from sandbox import Confinement, confine
        pid = os.fork()
        if pid == 0:
            confine(Confinement())
            print(os.getpid(), flush=True)
            time.sleep(60)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert members(child) == [child]
        parent.kill()
        until = time.monotonic() + 5
        while members(child) and time.monotonic() < until:
            time.sleep(0.01)
    assert members(child) == []


def test_stop_takes_the_whole_group_even_when_it_ignores_term() -> None:
    code = textwrap.dedent(
        """
        import os, signal, time
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(2):
            if os.fork() == 0:
                break
        else:
            print("ready", flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        leader.stdout.readline()
        assert len(members(leader.pid)) == 3
        assert stop(leader.pid, grace_s=0.1) == []
        assert members(leader.pid) == []
        assert leader.wait() == -signal.SIGKILL


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_jump_of_the_filter_lands_inside(machine: str) -> None:
    body = instructions(machine)
    for index, (code, if_true, if_false, _) in enumerate(body):
        if code in (0x15, 0x35):
            assert index + 1 + max(if_true, if_false) < len(body)
    refuse = len(body) - 2
    refusing = [i for i, (code, to, _, _) in enumerate(body) if code in (0x15, 0x35) and i + 1 + to == refuse]
    assert len(refusing) == (8 if machine == "x86_64" else 7)
    assert body[-1] == (0x06, 0, 0, 0x7FFF0000)


def test_this_machine_is_known() -> None:
    assert instructions(platform.machine())
