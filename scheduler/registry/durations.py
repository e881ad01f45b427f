"""Times in SQL, on either database: how many seconds lie between two, and how many since 1970."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class seconds_between(FunctionElement[float]):  # noqa: N801 - it is called like a function of SQL
    """``seconds_between(earlier, later)``, with its fraction."""

    type = Double()
    inherit_cache = True


class epoch(FunctionElement[int]):  # noqa: N801 - it is called like a function of SQL
    """``epoch(moment)``: whole seconds since 1970, rounded down."""

    type = BigInteger()
    inherit_cache = True


@compiles(seconds_between)
def _between(element: Any, compiler: Any, **how: Any) -> str:
    earlier, later = (compiler.process(one, **how) for one in element.clauses)
    return f"CAST(EXTRACT(EPOCH FROM ({later} - {earlier})) AS DOUBLE PRECISION)"


@compiles(seconds_between, "sqlite")
def _between_sqlite(element: Any, compiler: Any, **how: Any) -> str:
    earlier, later = (compiler.process(one, **how) for one in element.clauses)
    return f"((julianday({later}) - julianday({earlier})) * 86400.0)"


@compiles(epoch)
def _epoch(element: Any, compiler: Any, **how: Any) -> str:
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **how)})) AS BIGINT)"


@compiles(epoch, "sqlite")
def _epoch_sqlite(element: Any, compiler: Any, **how: Any) -> str:
    return f"CAST(strftime('%s', {compiler.process(element.clauses, **how)}) AS INTEGER)"
