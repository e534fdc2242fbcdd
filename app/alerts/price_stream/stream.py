"""``/prices``: averages on a grid of times, past ones and then live, the same on every endpoint."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Collection, Mapping
from contextlib import suppress
from http import HTTPStatus
from weakref import WeakKeyDictionary

import msgspec
import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from app.alerts.access.admission import AccessControl, ClientConnection, end_flood
from app.alerts.access.refusals import RequestRefused, refusal_fields, refusal_response
from app.alerts.metrics import Metrics
from app.alerts.price_stream.cache import AverageCache, Recent
from app.alerts.price_stream.request import PriceRequest, moment, read_request
from app.alerts.protocol import Refused
from coinwatch.errors import WarehouseError
from coinwatch.health.outage import Outage
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US, now_us
from warehouse.averages.stream import (
    UPDATES_AT_ONCE,
    StoredPrice,
    earliest_that_fits,
    pairs_computed_now,
    pairs_known,
    stored_updates,
)
from warehouse.db.database import Database

MOST_UPDATES = 100_000
"""How many past updates a stream may ask for."""
STALE_AFTER_US = 2 * SECOND_US
"""An average missing so long after its time is sent as stale, if the client asked for that."""
SEND_TIMEOUT_S = 20.0
"""How long one frame may wait for its client to read."""
DOLLARS = ("USD", "USDT", "USDC")
"""The quotes that stand for dollars: the first that is available."""

log = structlog.get_logger(__name__)


class Plan(msgspec.Struct, frozen=True):
    """A request, and the pair for each of its currencies."""

    request: PriceRequest
    pairs: dict[str, Symbol]


class Prices:
    """Serves the streams of prices. ``configured``: the pairs that are collected, stored yet or not."""

    def __init__(
        self,
        database: Database,
        feed: AverageCache,
        configured: Collection[Symbol],
        access: AccessControl,
        metrics: Metrics,
        outage: Outage,
    ) -> None:
        self._access = access
        self._metrics = metrics
        self._outage = outage
        self._database = database
        self._feed = feed
        self._configured = frozenset(configured)
        self._plans: WeakKeyDictionary[ServerConnection, Plan] = WeakKeyDictionary()
        self._open = 0
        metrics.watch("price_streams", "Open streams of prices.", lambda: self._open)

    async def admit(self, connection: ClientConnection, request: Request) -> Response | None:
        """The refusal of a request; None if it becomes a websocket."""
        try:
            asked = read_request(request.path, now_us())
            if self._access.is_guarded and connection.owner is None:
                return None  # nothing is read before authentication
            self._plans[connection] = await self._plan(asked)
        except RequestRefused as error:
            return refusal_response(connection, HTTPStatus.BAD_REQUEST, error.refused)
        except WarehouseError as error:
            self._outage.observe(error)
            unavailable = Refused("try_again", error.state, "retry in a few seconds")
            return refusal_response(connection, HTTPStatus.SERVICE_UNAVAILABLE, unavailable)
        return None

    async def converse(self, socket: ClientConnection) -> None:
        """Serve a connection that was admitted, until it ends."""
        plan = self._plans.pop(socket, None) or await self._plan_now(socket)
        if plan is None:
            return
        self._open += 1
        try:
            async with self._feed.follow(plan.pairs.values()) as recent, asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(_Stream(socket, plan, recent, self._feed, self._database).run())
                async for _ in socket:
                    socket.pace.take()
                    if socket.pace.is_flood:
                        await end_flood(socket, self._metrics)
                        break
                    await socket.send(_NOT_ASKED)
                sending.cancel()
        except* ConnectionClosed:
            pass
        except* WarehouseError as errors:
            self._outage.observe(errors)
            await socket.close(CloseCode.TRY_AGAIN_LATER, "the warehouse is unavailable; reconnect soon")
        finally:
            self._open -= 1

    async def _plan_now(self, socket: ClientConnection) -> Plan | None:
        """The plan of a connection that authenticated after the handshake; None if it was refused."""
        assert socket.request is not None  # noqa: S101  # there is one once a connection is open
        try:
            return await self._plan(read_request(socket.request.path, now_us()))
        except RequestRefused as error:
            await socket.send(_text({"type": "error", **refusal_fields(error.refused)}))
            await socket.close(CloseCode.POLICY_VIOLATION, error.refused.code)
        except WarehouseError:
            await socket.close(CloseCode.TRY_AGAIN_LATER, "the warehouse is unavailable; reconnect soon")
        return None

    async def _plan(self, request: PriceRequest) -> Plan:
        asked = {currency: _candidates(request.base, currency) for currency in request.currencies}
        async with self._database.use() as conn:
            known = await pairs_known(conn, sorted({pair for pairs in asked.values() for pair in pairs}))
            recent = {pair for pair, price in known.items() if price.is_recent}
            stored = {pair for pair, price in known.items() if price.is_stored}
            chosen: dict[str, Symbol] = {}
            for currency, candidates in asked.items():
                for there in (self._configured, recent, stored):
                    if available := [pair for pair in candidates if pair in there]:
                        chosen[currency] = available[0]
                        break
                else:
                    raise _unknown(
                        request.base, currency, self._configured.union(await pairs_computed_now(conn))
                    )
            if request.since_us is not None:
                earliest_us = await earliest_that_fits(
                    conn,
                    request.base,
                    [pair.quote for pair in chosen.values()],
                    since_us=request.since_us,
                    interval_us=request.interval_us,
                    most=MOST_UPDATES,
                )
                if earliest_us is not None:
                    raise RequestRefused(
                        "too_many_updates",
                        f"more than {MOST_UPDATES:,} updates are stored since {moment(request.since_us)}",
                        f"the earliest since_date that fits is {moment(earliest_us)}; "
                        "or use a longer interval or fewer currencies",
                    )
        return Plan(request, chosen)


class _Currency(msgspec.Struct):
    """The progress of a currency of a stream."""

    name: str
    recent: Recent
    sent: int
    """The number of the last interval sent."""
    read_us: int
    """The time of the last row read."""


class _Stream:
    def __init__(
        self,
        socket: ServerConnection,
        plan: Plan,
        recent: Mapping[Symbol, Recent],
        feed: AverageCache,
        database: Database,
    ) -> None:
        self._socket = socket
        self._plan = plan
        self._request = plan.request
        self._feed = feed
        self._database = database
        self._currencies = [self._begin(name, recent[plan.pairs[name]]) for name in plan.request.currencies]

    def _begin(self, name: str, recent: Recent) -> _Currency:
        since_us = self._request.since_us
        if since_us is None:
            return _Currency(name, recent, self._interval_of(recent.through_us), recent.through_us)
        return _Currency(name, recent, self._interval_of(since_us) - 1, -1)

    async def run(self) -> None:
        """Send stored updates, then new ones."""
        try:
            if self._request.since_us is not None:
                await self._replay(self._request.since_us)
                await self._send_new()
            if self._request.has_meta:
                # Only averages that are missing from now on are sent as stale.
                for progress in self._currencies:
                    progress.sent = max(progress.sent, self._due(now_us()))
            await self._follow()
        except TimeoutError:
            await self._cut_off(f"too slow: a frame waited for {SEND_TIMEOUT_S:.0f} s")

    async def _replay(self, at_us: int) -> None:
        """Send stored updates until the cache has all that follow."""
        interval_us = self._request.interval_us
        while any(progress.read_us < progress.recent.after_us for progress in self._currencies):
            # The same time for all, so that no currency is ahead of another.
            through_us = max(progress.recent.after_us for progress in self._currencies)
            asked = {self._plan.pairs[progress.name]: through_us for progress in self._currencies}
            async with self._database.use() as conn:
                page = await stored_updates(conn, asked, since_us=at_us, interval_us=interval_us)
            by_pair: dict[Symbol, list[StoredPrice]] = {}
            for pair, row in page:
                by_pair.setdefault(pair, []).append(row)
            await self._send_all(
                [
                    (progress, row)
                    for progress in self._currencies
                    for row in by_pair.get(self._plan.pairs[progress.name], ())
                ]
            )
            if page:
                at_us = (self._interval_of(page[0][1].ts_us) + UPDATES_AT_ONCE) * interval_us
            for progress in self._currencies:
                progress.read_us = max(progress.read_us, min(through_us, at_us - 1) if page else through_us)

    async def _follow(self) -> None:
        while True:
            changed = self._feed.changed
            if any(progress.read_us < progress.recent.after_us for progress in self._currencies):
                await self._cut_off("too slow: the next updates are no longer kept")
                return
            await self._send_new()
            if not self._request.has_meta:
                await changed.wait()
                continue
            await self._send_stale()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_due_s()):
                    await changed.wait()

    async def _send_new(self) -> None:
        new = [
            (progress, row)
            for progress in self._currencies
            for row in progress.recent.since(progress.read_us)
        ]
        for progress in self._currencies:
            progress.read_us = max(progress.read_us, progress.recent.through_us)
        await self._send_all(new)

    async def _send_all(self, rows: list[tuple[_Currency, StoredPrice]]) -> None:
        """Send the first row of each interval, in order of time, each currency in its place."""
        places = {progress.name: place for place, progress in enumerate(self._currencies)}
        rows.sort(key=lambda item: (self._interval_of(item[1].ts_us), places[item[0].name], item[1].ts_us))
        for progress, row in rows:
            number = self._interval_of(row.ts_us)
            if number > progress.sent:
                progress.sent = number
                await self._send(progress, number, row, is_stale=False)

    async def _send_stale(self) -> None:
        due = self._due(now_us())
        for number in range(min(progress.sent for progress in self._currencies) + 1, due + 1):
            for progress in self._currencies:
                if number > progress.sent:
                    progress.sent = number
                    if progress.recent.newest is not None:
                        await self._send(progress, number, progress.recent.newest, is_stale=True)

    async def _send(self, progress: _Currency, number: int, row: StoredPrice, *, is_stale: bool) -> None:
        at_us = number * self._request.interval_us
        fields: dict[str, object] = {"timedate": moment(at_us), "price": row.price}
        if len(self._currencies) > 1:
            fields["currency"] = progress.name
        if self._request.has_meta:
            fields |= {
                "pair": str(self._plan.pairs[progress.name]),
                "stale": is_stale,
                "age_s": max(0.0, (at_us - row.ts_us) / SECOND_US),
                "exchanges": row.exchanges,
            }
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._socket.send(_text(fields))

    async def _cut_off(self, why: str) -> None:
        last_us = min(progress.sent for progress in self._currencies) * self._request.interval_us
        log.warning("a stream of prices was cut off", reason=why)
        await self._socket.close(
            CloseCode.TRY_AGAIN_LATER, f"{why}; continue with since_date={moment(last_us)}"
        )

    def _interval_of(self, ts_us: int) -> int:
        return ts_us // self._request.interval_us

    def _due(self, at_us: int) -> int:
        """The last interval whose average is due."""
        return self._interval_of(at_us - STALE_AFTER_US)

    def _until_due_s(self) -> float:
        next_us = (min(progress.sent for progress in self._currencies) + 1) * self._request.interval_us
        return max(0.0, next_us + STALE_AFTER_US - now_us()) / SECOND_US


def _candidates(base: str, currency: str) -> list[Symbol]:
    return [Symbol(base, quote) for quote in (DOLLARS if currency == "USD" else (currency,))]


def _unknown(base: str, currency: str, there: Collection[Symbol]) -> RequestRefused:
    if quotes := sorted({pair.quote for pair in there if pair.base == base}):
        return RequestRefused(
            "unknown_currency",
            f"no average of {base} in {currency} is computed",
            f"available are {', '.join(quotes)}",
        )
    bases = sorted({pair.base for pair in there})
    near = difflib.get_close_matches(base, bases, n=3, cutoff=0.5) or bases[:10]
    return RequestRefused(
        "unknown_symbol", f"no average of {base} is computed", f"did you mean {', '.join(near)}?"
    )


def _text(fields: Mapping[str, object]) -> str:
    return msgspec.json.encode(fields).decode()


_NOT_ASKED = _text(
    {
        "type": "error",
        "code": "nothing_asked",
        "message": "a stream of prices takes no commands",
        "hint": "make watches on /ws; for other prices, open another /prices",
    }
)
