"""Postgres as the bus: what a commit of ticks announces, and how to listen.

A notice says which markets moved and by what; the rows themselves are read from ``ticks``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing

import msgspec
import psycopg
import sqlalchemy
import structlog
from psycopg import AsyncConnection, Notify, sql

from coinwatch.errors import WarehouseError
from warehouse.db.connect import connect

TICKS = "ticks"
"""The channel on which every commit of live ticks is announced."""

TICKS_LATE = "ticks_late"
"""The channel for trades that were recovered or replayed: they are not the newest, and no price runs
backwards because of them."""

NOTICE_BYTES = 7_900
"""Every payload is shorter: Postgres refuses one of 8,000 bytes, and with it the whole commit."""

RETRY_S = 0.5
CHECK_S = 10.0
"""A connection that told nothing for so long is asked whether it still lives."""

log = structlog.get_logger(__name__)


class MarketMove(msgspec.Struct, frozen=True, array_like=True):
    """What one commit stored for one market. Rows that were stored before are not in it."""

    market_id: int
    first_id: int
    """The smallest trade id."""
    last_id: int
    """The greatest trade id."""
    open: float
    """The price of the first trade by (ts, trade id)."""
    high: float
    low: float
    last: float
    """The price of the last trade by (ts, trade id)."""
    volume: float
    """In the base asset."""
    count: int
    last_ts_us: int


class TicksNotice(msgspec.Struct, frozen=True):
    """One message on ``ticks``. A commit that moves many markets sends several."""

    tx: int
    """The transaction that stored the rows: ``ticks.tx``."""
    moves: list[MarketMove]


_ENVELOPE_BYTES = len('{"tx":,"moves":[]}') + len(str(2**64))

_decoder = msgspec.json.Decoder(TicksNotice)
_encode = msgspec.json.Encoder().encode


def announcing(channel: str, moves: Iterable[MarketMove]) -> list[str]:
    """The statements that announce ``moves`` from within the transaction that stored them.

    The payload is a TicksNotice. No moves, no statement.
    """
    return [f"select {announcement(repr(channel), repr(part))}" for part in encode_moves(moves)]


def announcement(channel: str, moves: str) -> str:
    """The call that announces ``moves``, as encode_moves gives them; both are given as SQL."""
    return f"""pg_notify({channel}, '{{"tx":' || pg_current_xact_id() || ',"moves":' || {moves} || '}}')"""


def encode_moves(moves: Iterable[MarketMove]) -> list[str]:
    """``moves`` as JSON lists of numbers, each short enough for a payload of its own."""
    return in_parts(map(_encode, moves), _ENVELOPE_BYTES)


def in_parts(items: Iterable[bytes], envelope_bytes: int) -> list[str]:
    """``items``, each of them JSON, as JSON lists that fit a payload with ``envelope_bytes`` more."""
    parts: list[list[bytes]] = []
    size = NOTICE_BYTES
    for text in items:
        size += len(text) + 1
        if size >= NOTICE_BYTES:
            parts.append([])
            size = len(text) + envelope_bytes
        parts[-1].append(text)
    return [f"[{b','.join(part).decode()}]" for part in parts]


def decode_notice(payload: str) -> TicksNotice:
    """Read a payload of the channel ``ticks``. Raises WarehouseError when it is none of ours."""
    try:
        return _decoder.decode(payload)
    except msgspec.DecodeError as error:
        raise WarehouseError(f"not a notice of ticks ({error}): {payload[:200]!r}") from None


async def listen(
    url: sqlalchemy.URL,
    channels: Sequence[str],
    *,
    application_name: str,
    on_connect: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    rest_s: float = 0.0,
) -> AsyncGenerator[Notify, None]:
    """Yield what is announced on ``channels``, for ever, connecting again when the connection ends.

    On every connection first LISTEN, then ``on_connect`` (read there what was missed), then what was
    announced since LISTEN: so nothing falls in between, though it may come twice. ``rest_s`` is for who
    need not know at once: so long nothing is read after each time something was, and a thousand commits
    a second do not wake this process as often. Errors of the
    database inside ``on_connect`` start over; all others are raised. Close it with ``aclosing``.
    """
    away = False
    while True:
        try:
            async with await connect(url, application_name=application_name) as connection:
                heard = _Heard(connection)
                for channel in channels:
                    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                if on_connect:
                    await on_connect(connection)
                if away:
                    log.info("listening again", channels=list(channels))
                    away = False
                async with aclosing(heard.notifies(rest_s)) as notifies:
                    async for notify in notifies:
                        yield notify
        except (psycopg.OperationalError, WarehouseError, TimeoutError) as error:
            if not away:
                log.warning(
                    "not listening: Postgres is away; trying again",
                    channels=list(channels),
                    reason=str(error),
                )
                away = True
            await asyncio.sleep(RETRY_S)


class _Heard:
    """What a connection is told.

    Its socket is watched without a break: to begin and end that for each notice, as psycopg does, takes
    longer than to read it.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._told: deque[Notify] = deque()
        self._changed = asyncio.Event()
        self._failure: psycopg.Error | None = None
        self._watched: int | None = None
        """The socket, while it is watched."""
        self._loop = asyncio.get_running_loop()
        connection.add_notify_handler(self._told.append)

    async def notifies(self, rest_s: float) -> AsyncGenerator[Notify, None]:
        """All of it, for ever. Raises psycopg.Error or TimeoutError when the connection has ended."""
        try:
            while True:
                check_at = self._loop.time() + CHECK_S
                timer = self._loop.call_at(check_at, self._changed.set)
                try:
                    while self._loop.time() < check_at:
                        await self._wait()
                        while self._told:
                            yield self._told.popleft()
                        if rest_s:
                            self._stop_watching()
                            await asyncio.sleep(rest_s)
                finally:
                    timer.cancel()
                self._stop_watching()
                async with asyncio.timeout(CHECK_S):
                    await self._connection.execute("select 1")
        finally:
            self._stop_watching()

    async def _wait(self) -> None:
        """Until something was told, or it is time to ask whether the connection still lives."""
        if self._watched is None:
            self._watched = self._connection.fileno()
            self._loop.add_reader(self._watched, self._read)
        if not self._told:
            await self._changed.wait()
        self._changed.clear()
        if self._failure:
            raise self._failure

    def _stop_watching(self) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
            self._watched = None

    def _read(self) -> None:
        pgconn = self._connection.pgconn
        try:
            pgconn.consume_input()
            while told := pgconn.notifies():
                self._told.append(Notify(told.relname.decode(), told.extra.decode(), told.be_pid))
        except psycopg.Error as error:
            self._failure = error
            self._stop_watching()
        if self._told or self._failure:
            self._changed.set()
