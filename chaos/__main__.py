"""``make chaos``: the long form; ``python -m chaos --short`` the one that every test run does."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos.run import LONG, SHORT, run
from chaos.servers import ServerMissing
from chaos.stack import StackFailed
from farm.errors import StartError


def main() -> int:
    """Run, print, and write the figures. 0: every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Kill the farm in every way, and count.")
    parser.add_argument("--seed", type=int, default=1, help="decides models, faults and their order")
    parser.add_argument("--short", action="store_true", help="the form that the tests run")
    parser.add_argument("--out", type=Path, default=Path("out/chaos"), help="folder for chaos.json and chaos.md")
    told = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="enginehouse-chaos-"))
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)

    try:
        figures = run(SHORT if told.short else LONG, told.seed, folder, say)
    except (StackFailed, StartError, ServerMissing) as error:
        print(f"{error}\nThe logs are in {folder / 'home' / 'logs'}.", file=sys.stderr)
        return 2
    told.out.mkdir(parents=True, exist_ok=True)
    (told.out / "chaos.json").write_text(json.dumps(figures.data(), indent=2) + "\n")
    (told.out / "chaos.md").write_text(figures.table())
    print(f"\n{figures.table()}\nWritten to {told.out}/chaos.json and chaos.md.")
    found = figures.findings
    for line in (*found.lost, *found.twice, *found.wrong, *found.given_up):
        print(f"- {line}", file=sys.stderr)
    if not found.good:
        print(f"Promises were broken. The logs are in {folder / 'home' / 'logs'}.", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
