"""How to fetch an artifact from elsewhere: the command line, Python, curl."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from urllib.parse import quote

from enginehouse.views import ArtifactView


@dataclass(frozen=True)
class Snippet:
    """Text to take away, and for what."""

    label: str
    text: str


def fetching(farm: str, artifact: ArtifactView) -> list[Snippet]:
    """Each fetches the bundle or its entry, and checks its hash. Tokens are named, never shown."""
    farm = farm.rstrip("/")
    short = artifact.id[:12]
    entry = next(file for file in artifact.manifest.files if file.path == artifact.manifest.entry)
    address = f"{farm}/v1/artifacts/{artifact.id}/files/{quote(entry.path)}"
    name = entry.path.rsplit("/", 1)[-1]
    return [
        Snippet(
            "Command line", f"enginehouse artifact get {artifact.id}\nenginehouse artifact verify artifact-{short}"
        ),
        Snippet(
            "Python",
            "from pathlib import Path\n"
            "from enginehouse import Client\n\n"
            f'with Client("{farm}", "TOKEN") as farm:\n'
            f'    farm.artifacts.download("{artifact.id}", Path("artifact-{short}"))',
        ),
        Snippet(
            "curl",
            'curl -fL -H "Authorization: Bearer $ENGINEHOUSE_TOKEN" \\\n'
            f"  -o {shlex.quote(name)} {shlex.quote(address)}\n"
            f"echo {shlex.quote(f'{entry.sha256}  {name}')} | sha256sum -c",
        ),
    ]
