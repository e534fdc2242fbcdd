"""Notifications: the payloads that commits of trades send, and how to listen.

A notice states which markets moved and how; the trades themselves are in ``ticks``.
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
"""NOTIFY channel: a TicksNotice for every commit of live trades."""

TICKS_LATE = "ticks_late"
"""NOTIFY channel for recovered and replayed trades, which are older than the last price."""

NOTICE_BYTES = 7_900
"""Payloads are shorter than this: Postgres refuses 8,000 bytes, and the whole commit with it."""

RETRY_S = 0.5
CHECK_S = 10.0
"""A connection that was silent for this long is checked."""

log = structlog.get_logger(__name__)


class MarketMove(msgspec.Struct, frozen=True, array_like=True):
    """The new trades of a market in one commit, summed up."""

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
    """Decode a payload of the channel ``ticks``. Raises WarehouseError when it is not one of ours."""
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
    """Yield notifications of ``channels`` forever; reconnect when the connection ends.

    On every connection, first LISTEN, then ``on_connect`` (to read what was missed), then notifications since
    LISTEN: nothing is lost, but some may be delivered twice. Database errors inside ``on_connect`` reconnect;
    others are raised. Close it with ``aclosing``.

    Args:
        url: Where the warehouse is.
        channels: The channels to listen on.
        application_name: How the connection is listed in ``pg_stat_activity``.
        on_connect: Called with each new connection.
        rest_s: Pause after each read, so that a thousand commits a second wake this process less often.
    """
    is_away = False
    while True:
        try:
            async with await connect(url, application_name=application_name) as connection:
                inbox = _Inbox(connection)
                for channel in channels:
                    await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                if on_connect:
                    await on_connect(connection)
                if is_away:
                    log.info("listening again", channels=list(channels))
                    is_away = False
                async with aclosing(inbox.notifies(rest_s)) as notifies:
                    async for notify in notifies:
                        yield notify
        except (psycopg.OperationalError, WarehouseError, TimeoutError) as error:
            if not is_away:
                log.warning(
                    "not listening: Postgres is unavailable; retrying",
                    channels=list(channels),
                    reason=str(error),
                )
                is_away = True
            await asyncio.sleep(RETRY_S)


class _Inbox:
    """The notifications of a connection.

    Its socket stays registered with the event loop: registering it for each notification, as psycopg does,
    takes longer than reading it.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._received: deque[Notify] = deque()
        self._changed = asyncio.Event()
        self._failure: psycopg.Error | None = None
        self._watched: int | None = None
        """The socket, while it is watched."""
        self._loop = asyncio.get_running_loop()
        connection.add_notify_handler(self._received.append)

    async def notifies(self, rest_s: float) -> AsyncGenerator[Notify, None]:
        """All of them, forever. Raises psycopg.Error or TimeoutError when the connection ends."""
        try:
            while True:
                check_at = self._loop.time() + CHECK_S
                timer = self._loop.call_at(check_at, self._changed.set)
                try:
                    while self._loop.time() < check_at:
                        await self._wait()
                        while self._received:
                            yield self._received.popleft()
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
        """Wait for notifications, or until it is time to check the connection."""
        if self._watched is None:
            self._watched = self._connection.fileno()
            self._loop.add_reader(self._watched, self._read)
        if not self._received:
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
            while notify := pgconn.notifies():
                self._received.append(Notify(notify.relname.decode(), notify.extra.decode(), notify.be_pid))
        except psycopg.Error as error:
            self._failure = error
            self._stop_watching()
        if self._received or self._failure:
            self._changed.set()
