"""A job's own metric: a small function of the outputs and the labels, which only a build's confined child ever runs."""

from __future__ import annotations

import ast

from pydantic import BaseModel, ConfigDict, Field, field_validator

FUNCTION = "metric"
"""What the text must define."""
MODULES = ("math", "numpy")
"""What the text may import."""
BUILT_IN = ("top1", "top5")
"""Names of the metrics that labels give by themselves."""
MOST_CHARACTERS = 20_000


class Metric(BaseModel):
    """``metric(outputs, labels) -> float``, called once for the source model and once for the artifact.

    ``outputs``: output name to a sequence with one array per sample; ``labels``: the dataset's, first axis = samples,
    or None where it has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="what the report calls it")
    code: str = Field(
        max_length=MOST_CHARACTERS,
        description="Python that defines metric(outputs, labels) and imports nothing but numpy and math",
    )
    higher_is_better: bool = True

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in BUILT_IN:
            raise ValueError(f"'{name}' is what labels give by themselves; choose another name")
        return name

    @field_validator("code")
    @classmethod
    def _is_a_metric(cls, code: str) -> str:
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # also null bytes, or nested too deep
            line = getattr(error, "lineno", None)
            where = "the code" if line is None else f"line {line}"
            raise ValueError(f"{where}: {getattr(error, 'msg', error)}") from None
        for node in ast.walk(tree):
            _check_import(node)
        made = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FUNCTION]
        if not made:
            raise ValueError(f"the code defines no function {FUNCTION}(outputs, labels)")
        taken = made[-1].args
        if len(taken.args) + len(taken.posonlyargs) != 2:
            raise ValueError(f"line {made[-1].lineno}: {FUNCTION} takes two arguments, the outputs and the labels")
        return code


def _check_import(node: ast.AST) -> None:
    if isinstance(node, ast.Import):
        names = [one.name for one in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or "." * node.level]
    else:
        return
    for name in names:
        if name.partition(".")[0] not in MODULES:
            raise ValueError(f"line {node.lineno}: '{name}' cannot be imported; a metric has {' and '.join(MODULES)}")
