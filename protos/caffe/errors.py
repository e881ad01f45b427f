"""What may be wrong with a Caffe model, told apart from who asks: the farm's own errors are made of these."""

from __future__ import annotations


class CaffeError(Exception):
    """A network or its weights cannot be what Caffe would run. ``layer``: the layer's name, where it is one's fault."""

    def __init__(self, detail: str, *, layer: str = "") -> None:
        super().__init__(detail)
        self.layer = layer


class UnknownLayer(CaffeError):
    """A layer of a type, or with a parameter, that has no rule here. ``type``: the layer's; ``hint``: the way out."""

    def __init__(self, detail: str, *, layer: str, type: str, hint: str) -> None:  # noqa: A002 - the format's own word
        super().__init__(detail, layer=layer)
        self.type = type
        self.hint = hint
