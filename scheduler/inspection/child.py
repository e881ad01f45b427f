"""The child process: ``python -m scheduler.inspection.child``. A request on stdin, an answer on stdout, both JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from enginehouse.errors import EnginehouseError, ModelUnreadable
from sandbox import Confinement, confine


def main() -> None:
    """Confine this process, read, answer."""
    request = json.load(sys.stdin)
    # Libraries that print must not write into the answer.
    answer_to = os.dup(1)
    os.dup2(2, 1)
    confine(
        Confinement(
            memory_bytes=request["memory_bytes"], file_bytes=0, open_files=256, devices=(), cpu_s=request["cpu_s"]
        ),
        parent=request["parent"],
    )
    with os.fdopen(answer_to, "wb") as output:
        output.write(json.dumps(answer(request)).encode())


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked. Every way in which a stranger's file can be wrong is an answer too."""
    try:
        if request["kind"] == "dataset":
            from scheduler.inspection.dataset import read_dataset

            contents = read_dataset(Path(request["files"][0][1]), request["max_bytes"])
            return {"contents": contents.model_dump(mode="json")}
        from scheduler.inspection.model import read_model

        signature = read_model([(path, Path(local)) for path, local in request["files"]])
        return {"signature": signature.model_dump(mode="json")}
    except EnginehouseError as error:
        return {"failure": error.failure().model_dump(mode="json")}
    except MemoryError:
        return {"memory": True}
    except Exception as error:  # noqa: BLE001 - the file is hostile: whatever it provokes is the file's
        return {"failure": ModelUnreadable(f"reading it failed: {type(error).__name__}").failure().model_dump()}


if __name__ == "__main__":
    main()
