"""Columns of numbers as binary Postgres arrays: a thousand values cost about as much as a single value."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from psycopg import AsyncCursor
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01, from which Postgres counts microseconds and days."""


class Column:
    """A column of values, to be passed as a parameter and read by ``unnest``."""

    element_oid: ClassVar[int]
    array_oid: ClassVar[int]
    dtype: ClassVar[str]

    def __init__(self, values: Any) -> None:
        width = np.dtype(self.dtype).itemsize
        elements = np.empty(len(values), [("size", ">i4"), ("value", self.dtype)])
        elements["size"] = width
        elements["value"] = values
        header = np.array([1, 0, self.element_oid, len(values), 1], ">i4")
        self.encoded: bytes = header.tobytes() + elements.tobytes()
        """As ``array_recv`` reads it: one dimension, no nulls."""


class Doubles(Column):
    """``float8[]``"""

    element_oid, array_oid, dtype = 701, 1022, ">f8"


class Integers(Column):
    """``int4[]``"""

    element_oid, array_oid, dtype = 23, 1007, ">i4"


class Times(Column):
    """``timestamptz[]`` from microseconds."""

    element_oid, array_oid, dtype = 1184, 1185, ">i8"

    def __init__(self, ts_us: Any) -> None:
        super().__init__(np.asarray(ts_us, np.int64) - POSTGRES_EPOCH_US)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Column) -> Buffer:
        return obj.encoded


def _dumper(kind: type[Column]) -> type[Dumper]:
    return type(f"{kind.__name__}Dumper", (_ColumnDumper,), {"oid": kind.array_oid})


_DUMPERS = {kind: _dumper(kind) for kind in (Doubles, Integers, Times)}


def takes_columns(cursor: AsyncCursor[Any]) -> None:
    """Let ``cursor`` accept columns as parameters."""
    for kind, dumper in _DUMPERS.items():
        cursor.adapters.register_dumper(kind, dumper)
