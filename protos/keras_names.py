"""What the inputs and outputs of a Keras model are called: by whoever reads its config, and by whoever exports it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")


def leaves(part: Any, is_leaf: Callable[[Any], bool], key: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested structure with the key that it, or a list around it, has in a dict ('' without one).

    Dicts are walked in the order of their keys.
    """
    if is_leaf(part):
        yield key, part
    elif isinstance(part, dict):
        for name in sorted(part):
            yield from leaves(part[name], is_leaf, name)
    else:
        for one in part:
            yield from leaves(one, is_leaf, key)


def named(inputs: Iterable[str], outputs: Iterable[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Names of a model's inputs and outputs.

    ``inputs``: names of the InputLayers. ``outputs``: key in a dict of outputs ('' without one), and name of the layer
    that the output comes from. An output bears its key, else its layer's name. TensorFlow takes letters, digits and
    ``_ . -`` in a name: others become ``_``. A name that is taken gets ``_1``, ``_2`` …
    """
    taken = set[str]()
    return [_free(name, taken) for name in inputs], [_free(key or layer, taken) for key, layer in outputs]


def _free(name: str, taken: set[str]) -> str:
    fit = _UNFIT.sub("_", name)
    if not fit[:1].isalnum():
        fit = f"x{fit}"
    found, number = fit, 0
    while found in taken:
        number += 1
        found = f"{fit}_{number}"
    taken.add(found)
    return found
