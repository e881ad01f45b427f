"""Real published models for the demo, the tests and the benchmarks: pinned, fetched on demand, never committed."""

from __future__ import annotations

from zoo.catalogue import CATALOGUE, Catalogue, Model, Wheel
from zoo.fetch import ZooError, model_path, wheel_member
from zoo.light import light_model, light_models

__all__ = [
    "CATALOGUE",
    "Catalogue",
    "Model",
    "Wheel",
    "ZooError",
    "light_model",
    "light_models",
    "model_path",
    "wheel_member",
]
