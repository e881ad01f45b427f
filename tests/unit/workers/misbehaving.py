"""What hostile or broken builds do. Each function is the main of a child."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from enginehouse.errors import UnsupportedOperator
from enginehouse.states import Phase
from workers.child.entry import confined, say
from workers.child.messages import Entered, Failed, Message

Main = Callable[[str, int, Connection, Connection], None]


def _main(job: Callable[[Connection], Message]) -> Main:
    def main(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
        confined(Path(work), memory_mb, log, messages, lambda: job(messages))

    return main


def _answer(text: str) -> Failed:
    return Failed(failure=UnsupportedOperator(text).failure())


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")


def _read(path: str) -> str:
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError as error:
        return type(error).__name__


def _speak(messages: Connection) -> Message:
    say(messages, Entered(phase=Phase.IMPORT))
    _line("from Python")
    _line("\x1b[31mred\x00\x07 \udcff bell\x1b[0m")
    os.write(1, b"from C \xff\xfe\n")
    sys.stderr.write("from stderr\n")
    _line("x" * 20_000)
    os.write(2, b"no line end")
    say(messages, Entered(phase=Phase.PACKAGE))
    return _answer("spoke")


def _run_out(messages: Connection) -> Message:
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise UnsupportedOperator("it cannot be saved") from error


def _crash(messages: Connection) -> Message:
    _line("about to crash")
    ctypes.string_at(0)
    return _answer("survived")


def _kill_itself(messages: Connection) -> Message:
    os.kill(os.getpid(), signal.SIGKILL)
    return _answer("survived")


def _leave(messages: Connection) -> Message:
    os._exit(3)


def _hang(messages: Connection) -> Message:
    _line("hanging")
    time.sleep(600)
    return _answer("survived")


def _family(messages: Connection) -> Message:
    """Grandchildren that ignore TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'up\\n'); time.sleep(600)"
    )
    for _ in range(2):
        subprocess.Popen([sys.executable, "-c", code])
    time.sleep(600)
    return _answer("survived")


def _orphan(messages: Connection) -> Message:
    """The child answers and goes, a grandchild stays."""
    subprocess.Popen([sys.executable, "-c", "import os, time; os.write(1, b'up\\n'); time.sleep(600)"])
    time.sleep(0.3)
    return _answer("gone")


def _eat(messages: Connection) -> Message:
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1 << 20) * 16))
        time.sleep(0.005)


def _eat_at_once(messages: Connection) -> Message:
    return _answer(str(len(bytearray(64 << 30))))


def _bad_alloc(messages: Connection) -> Message:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def _look_around(messages: Connection) -> Message:
    """The environment, the network, the agent."""
    parent = os.getppid()
    agent = next(line.split()[1] for line in _read(f"/proc/{parent}/status").splitlines() if "PPid" in line)
    found = {
        "environment": _read("/proc/self/environ") + str(dict(os.environ)),
        "threads": str(len(list(Path("/proc/self/task").iterdir()))),
        "cwd": str(Path.cwd()),
        "toolchains": str(sorted({"openvino", "onnxruntime", "onnx"} & set(sys.modules))),
        "celery": str("celery" in sys.modules),
        "telemetry": str(sys.modules.get("openvino_telemetry", "absent")),
        "parent_environment": _read(f"/proc/{parent}/environ"),
        "agent_environment": _read(f"/proc/{agent}/environ"),
    }
    try:
        socket.create_connection(("127.0.0.1", int((Path.cwd() / "port").read_text())), timeout=5)
        found["network"] = "connected"
    except OSError as error:
        found["network"] = type(error).__name__
    failure = UnsupportedOperator("looked", **found).failure()
    return Failed(failure=failure)


def garbage(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    os.write(messages.fileno(), b'{"kind": "built", "manifest": "no"}\n')
    time.sleep(600)


def pickled(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    messages.send({"kind": "built"})
    time.sleep(600)


# Pickled by name: each must be found in this module.
def speak(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_speak)(work, memory_mb, log, messages)


def crash(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_crash)(work, memory_mb, log, messages)


def run_out(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_run_out)(work, memory_mb, log, messages)


def kill_itself(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_kill_itself)(work, memory_mb, log, messages)


def leave(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_leave)(work, memory_mb, log, messages)


def hang(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_hang)(work, memory_mb, log, messages)


def family(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_family)(work, memory_mb, log, messages)


def orphan(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_orphan)(work, memory_mb, log, messages)


def eat(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_eat)(work, memory_mb, log, messages)


def eat_at_once(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_eat_at_once)(work, memory_mb, log, messages)


def bad_alloc(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_bad_alloc)(work, memory_mb, log, messages)


def look_around(work: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    _main(_look_around)(work, memory_mb, log, messages)
