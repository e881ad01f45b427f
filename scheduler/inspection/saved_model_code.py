"""What a SavedModel must not hold: operators that run Python, or that read and write files which the model names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from enginehouse.errors import ModelExecutesCode
from scheduler.inspection.saved_model_graph import called, calls
from scheduler.inspection.text import clean

_RUNS = re.compile(
    r"(Eager)?PyFunc(Stateless)?|ReadFile|WriteFile|MatchingFiles\w*|FileSystem\w*|\w+Reader(V2)?|LMDB\w+"
    r"|(Csv|CSV|FixedLengthRecord|TFRecord|TextLine|Sql|Cache|Snapshot|Save|Load|DataService)Dataset\w*"
    r"|CreateSummary\w*Writer|WriteSummary|WriteRawProtoSummary|ImportEvent|Debug(Identity|Nan|Numeric)\w*"
)
_HIDDEN = re.compile(r"_(?!_call__$)")
"""Names of functions that TensorFlow may call by itself (_initialize, _create_resource)."""


def refuse_code(meta: Any, key: str, functions: Mapping[str, Any]) -> None:
    """Raise ModelExecutesCode with the operator and the node.

    Looked at is the main graph, and every function but those that nothing except a call by its user would start:
    the module's own functions and the signatures that are not served. ``meta``: the meta graph; ``key``: the signature
    that is served; ``functions``: FunctionDefs by name.
    """
    started = called(functions, _started(meta, key))
    idle = called(functions, _by_user(meta)) - started
    for name, nodes in (
        ("", meta.graph.node),
        *((name, functions[name].node) for name in functions if name not in idle),
    ):
        for node in nodes:
            if _RUNS.fullmatch(node.op) or node.attr["output_stream"].s.startswith(b"file:"):
                inside = f" in the function {clean(name)}" if name else ""
                raise ModelExecutesCode(
                    f"the node {clean(node.name)}{inside} has the operator {clean(node.op)}: it runs Python code or "
                    "reads and writes files, which the farm never lets a model do",
                    advice="Export the model with TensorFlow operators only, and do such steps before and after it.",
                    operator=clean(node.op),
                    node=clean(node.name),
                )


def _started(meta: Any, key: str) -> Iterator[str]:
    """Functions that loading or serving the model starts."""
    wanted = {
        info.name.split(":")[0]
        for name, signature in meta.signatures.items()
        if name == key or name.startswith("__")
        for info in signature.outputs.values()
    }
    others = {
        info.name.split(":")[0]
        for name, signature in meta.signatures.items()
        if name != key and not name.startswith("__")
        for info in signature.outputs.values()
    }
    for node in meta.graph.node:
        if node.name in wanted or node.name not in others:
            yield from calls(node)
    yield from _named(meta, hidden=True)


def _by_user(meta: Any) -> Iterator[str]:
    """Functions that somebody has to call by name."""
    for node in meta.graph.node:
        yield from calls(node)
    yield from _named(meta, hidden=False)


def _named(meta: Any, *, hidden: bool) -> Iterator[str]:
    objects = meta.objects.node
    for one in objects:
        for child in one.child:
            if bool(_HIDDEN.match(child.name)) == hidden and 0 <= child.node < len(objects):
                yield from objects[child.node].function.concrete
