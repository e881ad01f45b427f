"""What a Keras config must not hold: anything that is not Keras's own, and what of Keras runs code or opens files."""

from __future__ import annotations

from typing import Any

from enginehouse.errors import ModelExecutesCode, ModelUnreadable
from scheduler.inspection.text import clean

EXPORT = "Export it as a SavedModel, which holds a graph only, and push that folder: model.export('folder')."

_PLAIN = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"})
_CODE = {
    "Lambda": "holds the bytecode of a Python function",
    "__lambda__": "is the bytecode of a Python function",
    "TFSMLayer": "loads another model from a path",
    "TorchModuleWrapper": "holds a pickled PyTorch module",
    "JaxLayer": "holds a Python function",
    "FlaxLayer": "holds a Python function",
}
_NOT_MODELLING = frozenset({"utils", "saving", "datasets", "export", "callbacks", "config", "tree", "distribution"})
_PATHS = ("vocabulary", "idf_weights")
_MOST = 2_000_000


def refuse_code(config: dict[str, Any]) -> None:
    """Look at every object that loading the config would make. Raises ModelExecutesCode with the layer's name.

    The top-level ``compile_config`` (optimiser, losses, metrics) is left out: the farm does not compile models.
    """
    queue: list[tuple[Any, str]] = [({key: value for key, value in config.items() if key != "compile_config"}, "")]
    for _ in range(_MOST):
        if not queue:
            return
        part, owner = queue.pop()
        if isinstance(part, list):
            queue += [(one, owner) for one in part]
        elif isinstance(part, dict):
            inner = part.get("config")
            if "class_name" in part and isinstance(inner, dict) and isinstance(inner.get("name"), str):
                owner = inner["name"]
            why = _why(part)
            if why:
                kind = clean(str(part.get("class_name")))
                name = clean(owner) or kind
                raise ModelExecutesCode(
                    f"the layer '{name}': its {kind} {why}; the farm never runs code that comes with a model",
                    advice=EXPORT,
                    layer=name,
                    class_name=kind,
                )
            queue += [(one, owner) for one in part.values()]
    raise ModelUnreadable("the model's config has too many parts")


def _why(part: dict[str, Any]) -> str | None:
    for key in _PATHS:
        if isinstance(part.get(key), str):
            return f"reads the file '{clean(part[key])}' when it is loaded"
    if "class_name" not in part or "config" not in part:
        return None
    kind = part["class_name"]
    if kind in _PLAIN:
        return None
    if kind in _CODE:
        return _CODE[kind]
    module, registered = part.get("module"), part.get("registered_name")
    words = module.split(".") if isinstance(module, str) else []
    if words[:1] != ["keras"] or (isinstance(registered, str) and ">" in registered):
        return f"is not Keras's own (module {clean(str(module))}) but a class or function of its author"
    inside = words[2:] if words[1:2] == ["src"] else words[1:]
    if inside[:1] and inside[0] in _NOT_MODELLING:
        return f"is the function {clean(str(part.get('config')))} of {clean(str(module))}, which is no part of a model"
    return None
