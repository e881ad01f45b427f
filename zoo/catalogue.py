"""What the zoo has: ``models.toml`` as data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_FILE = Path(__file__).with_name("models.toml")


@dataclass(frozen=True)
class Wheel:
    """A wheel on the package index. ``platform`` is set where there is one wheel per platform."""

    package: str
    version: str
    sha256: str
    licence: str = ""
    source: str = ""
    platform: str | None = None


@dataclass(frozen=True)
class Model:
    """A model inside a wheel. ``size`` in bytes; ``sha256`` of the file itself."""

    name: str
    wheel: Wheel
    member: str
    sha256: str
    size: int
    about: str

    @property
    def file_name(self) -> str:
        """The name of the file inside the wheel, without its folders."""
        return PurePosixPath(self.member).name


@dataclass(frozen=True)
class Catalogue:
    """All models by name."""

    models: dict[str, Model]

    @classmethod
    def read(cls, file: Path = _FILE) -> Catalogue:
        """Read a catalogue; KeyError or TypeError when it is written wrong."""
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        wheels = {package: Wheel(package=package, **fields) for package, fields in table["wheels"].items()}
        models = {}
        for name, fields in table["models"].items():
            models[name] = Model(name=name, **{**fields, "wheel": wheels[fields["wheel"]]})
        return cls(models)

    def of(self, wheel: Wheel) -> list[Model]:
        """The models that lie in one wheel."""
        return [model for model in self.models.values() if model.wheel == wheel]


CATALOGUE = Catalogue.read()
