"""Errors of psycopg and SQLAlchemy, translated to WarehouseError where they leave ``warehouse``."""

from __future__ import annotations

import asyncio
import re
from types import TracebackType

import psycopg
import sqlalchemy
from psycopg import errors
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from coinwatch.errors import (
    WarehouseError,
    WarehouseFull,
    WarehouseReadOnly,
    WarehouseRejected,
    WarehouseSlow,
    WarehouseUnavailable,
)

_LATER = (psycopg.OperationalError, psycopg.InterfaceError, sqlalchemy.exc.TimeoutError)
_ADDRESS = re.compile(r"^connection failed: |connection to server .*? failed: (FATAL: *)?|^FATAL: *")
"""What libpq prints before the reason: where the server is."""
_REASON_SHOWN = 200


class warehouse_errors:  # noqa: N801  # read as a statement: with warehouse_errors()
    """Raises errors of Postgres inside the block as WarehouseError, also those inside an ExceptionGroup.

    A class rather than a generator, because entering it costs less.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            _reraise(error)


class deadline:  # noqa: N801  # read as a statement: async with deadline(5.0)
    """``warehouse_errors`` for a block of calls to Postgres that must end within ``seconds``.

    Raises WarehouseSlow when they do not. A failure of the socket itself is WarehouseUnavailable.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._timeout = asyncio.timeout(self._seconds)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError as late:
            raise WarehouseSlow(f"Postgres did not answer within {self._seconds:g} s") from late
        if isinstance(error, OSError):
            raise _of_postgres(error) from error
        if error is not None:
            _reraise(error)


def translate(error: BaseException) -> BaseException:
    """The error to raise instead of ``error``: itself when it is not one of Postgres. Pure: no I/O."""
    if isinstance(error, BaseExceptionGroup):
        inner = [translate(part) for part in error.exceptions]
        changed = any(new is not old for new, old in zip(inner, error.exceptions, strict=True))
        return error.derive(inner) if changed else error
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.Error):
        return _of_postgres(error.orig)
    if isinstance(error, (psycopg.Error, SQLAlchemyError)):
        return _of_postgres(error)
    return error


def as_unavailable(error: BaseException) -> WarehouseUnavailable | None:
    """``error`` as one that a later attempt may not meet; None when it is another. Pure: no I/O."""
    if isinstance(error, TimeoutError):
        return WarehouseUnavailable(f"Postgres did not answer: {error}", reason=reason(error))
    translated = translate(error)
    return translated if isinstance(translated, WarehouseUnavailable) else None


def reason(error: BaseException) -> str:
    """What the server or libpq reported: one line, without the address of the server. Pure: no I/O."""
    first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return _ADDRESS.sub("", first)[:_REASON_SHOWN]


def _reraise(error: BaseException) -> None:
    translated = translate(error)
    if translated is not error:
        raise translated from error


def _of_postgres(error: BaseException) -> WarehouseError:
    why = reason(error)
    if isinstance(error, errors.QueryCanceled):
        return WarehouseSlow(f"Postgres cancelled a statement: {why}", reason=why)
    if isinstance(error, errors.DiskFull):
        return WarehouseFull(f"Postgres has no space left: {why}", reason=why)
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return WarehouseReadOnly(f"Postgres accepts no writes: {why}", reason=why)
    if isinstance(error, (*_LATER, OSError)):
        return WarehouseUnavailable(f"Postgres cannot answer now: {why}", reason=why)
    return WarehouseRejected(f"Postgres refused a statement: {why}", kind=type(error).__name__)
