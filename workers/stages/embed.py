"""The stages' own text, for scripts that repeat a build outside the farm."""

from __future__ import annotations

import ast
from pathlib import Path

_OWN = ("workers.", "__future__")


def embedded(*names: str) -> str:
    """The text of stages one after the other, as parts of one script: without what they import from each other.

    They must be named in the order in which they use each other; no two of them define the same name. The script must
    begin with ``from __future__ import annotations``.
    """
    return "\n\n".join(_part(name) for name in names)


def _part(name: str) -> str:
    path = Path(__file__).with_name(f"{name}.py")
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = text.splitlines()
    own = [node for node in tree.body if isinstance(node, ast.ImportFrom) and str(node.module).startswith(_OWN)]
    for node in (tree.body[0], *own):  # the first one is the module's description
        for number in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[number] = ""
    title = (ast.get_docstring(tree) or name).splitlines()[0]
    body = "\n".join(line for line in lines).strip("\n")
    while "\n\n\n\n" in body:
        body = body.replace("\n\n\n\n", "\n\n\n")
    return f"# {title}\n\n{body}\n"
