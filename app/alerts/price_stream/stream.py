"""``/prices``: averages on a grid of times, from the past on and then live, the same at every endpoint."""

from __future__ import annotations

import asyncio
import difflib
import json
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
from app.alerts.metrics import Metrics
from app.alerts.price_stream.cache import AverageCache, Recent
from app.alerts.price_stream.request import PriceRequest, PricesRefused, moment, read_request
from coinwatch.errors import WarehouseError
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
"""What one stream may ask for of the past."""
STALE_AFTER_US = 2 * SECOND_US
"""An average that is not there so long after its time is told of as missing, where that is asked for."""
SEND_TIMEOUT_S = 20.0
"""How long one frame may wait for its client to read."""
DOLLARS = ("USD", "USDT", "USDC")
"""What answers for dollars, the first that there is."""

log = structlog.get_logger(__name__)


class Plan(msgspec.Struct, frozen=True):
    """A request, and the pair that answers for each of its currencies."""

    request: PriceRequest
    pairs: dict[str, Symbol]


class Prices:
    """``configured``: the pairs that are collected whatever is stored of them yet."""

    def __init__(
        self,
        database: Database,
        feed: AverageCache,
        configured: Collection[Symbol],
        door: AccessControl,
        metrics: Metrics,
    ) -> None:
        self._door = door
        self._metrics = metrics
        self._database = database
        self._feed = feed
        self._configured = frozenset(configured)
        self._plans: WeakKeyDictionary[ServerConnection, Plan] = WeakKeyDictionary()
        self._open = 0
        metrics.watch("price_streams", "Open streams of prices.", lambda: self._open)

    async def admit(self, connection: ClientConnection, request: Request) -> Response | None:
        """The refusal of what cannot be had; None lets it become a websocket."""
        try:
            asked = read_request(request.path, now_us())
            if self._door.is_guarded and connection.owner is None:
                return None  # nothing is read for who is not known yet
            self._plans[connection] = await self._plan(asked)
        except PricesRefused as refused:
            return _refusal(connection, HTTPStatus.BAD_REQUEST, refused)
        except WarehouseError:
            away = PricesRefused("try_again", "Postgres is away, so no price can be read", "in a few seconds")
            return _refusal(connection, HTTPStatus.SERVICE_UNAVAILABLE, away)
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
            log.warning("a stream of prices was ended: Postgres is away", reason=str(errors.exceptions[0]))
            await socket.close(CloseCode.TRY_AGAIN_LATER, "the warehouse is away; connect again soon")
        finally:
            self._open -= 1

    async def _plan_now(self, socket: ClientConnection) -> Plan | None:
        """The plan of a connection that said only after the handshake who it is; None: it was refused."""
        assert socket.request is not None  # noqa: S101  # there is one once a connection is open
        try:
            return await self._plan(read_request(socket.request.path, now_us()))
        except PricesRefused as refused:
            await socket.send(_text({"type": "error", **_fields(refused)}))
            await socket.close(CloseCode.POLICY_VIOLATION, refused.code)
        except WarehouseError:
            await socket.close(CloseCode.TRY_AGAIN_LATER, "the warehouse is away; connect again soon")
        return None

    async def _plan(self, request: PriceRequest) -> Plan:
        asked = {currency: _candidates(request.base, currency) for currency in request.currencies}
        async with self._database.use() as conn:
            known = await pairs_known(conn, sorted({pair for pairs in asked.values() for pair in pairs}))
            recent = {pair for pair, one in known.items() if one.is_recent}
            stored = {pair for pair, one in known.items() if one.is_stored}
            chosen: dict[str, Symbol] = {}
            for currency, candidates in asked.items():
                for there in (self._configured, recent, stored):
                    if found := [pair for pair in candidates if pair in there]:
                        chosen[currency] = found[0]
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
                    raise PricesRefused(
                        "too_many_updates",
                        f"more than {MOST_UPDATES:,} updates are stored since {moment(request.since_us)}",
                        f"the earliest since_date that fits is {moment(earliest_us)}; "
                        "or ask for a longer interval or fewer currencies",
                    )
        return Plan(request, chosen)


class _Currency(msgspec.Struct):
    """How far one currency of a stream has been told."""

    name: str
    recent: Recent
    sent: int
    """The number of the last interval told of."""
    read_us: int
    """The rows up to this one were looked at."""


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
        """Send what is stored, then what comes."""
        try:
            if self._request.since_us is not None:
                await self._replay(self._request.since_us)
                await self._send_new()
            if self._request.has_meta:
                # What was missing before is past: only what is missing from now on is told.
                for one in self._currencies:
                    one.sent = max(one.sent, self._due(now_us()))
            await self._follow()
        except TimeoutError:
            await self._cut_off(f"too slow: a frame waited for {SEND_TIMEOUT_S:.0f} s")

    async def _replay(self, at_us: int) -> None:
        """Send what is stored, until all that is not yet sent is kept by the feed."""
        interval_us = self._request.interval_us
        while any(one.read_us < one.recent.after_us for one in self._currencies):
            # The same for all, or one currency would be told of before another.
            through_us = max(one.recent.after_us for one in self._currencies)
            asked = {self._plan.pairs[one.name]: through_us for one in self._currencies}
            async with self._database.use() as conn:
                page = await stored_updates(conn, asked, since_us=at_us, interval_us=interval_us)
            by_pair: dict[Symbol, list[StoredPrice]] = {}
            for pair, row in page:
                by_pair.setdefault(pair, []).append(row)
            await self._send_all(
                [
                    (one, row)
                    for one in self._currencies
                    for row in by_pair.get(self._plan.pairs[one.name], ())
                ]
            )
            if page:
                at_us = (self._interval_of(page[0][1].ts_us) + UPDATES_AT_ONCE) * interval_us
            for one in self._currencies:
                one.read_us = max(one.read_us, min(through_us, at_us - 1) if page else through_us)

    async def _follow(self) -> None:
        while True:
            changed = self._feed.changed
            if any(one.read_us < one.recent.after_us for one in self._currencies):
                await self._cut_off("too slow: what comes next is no longer kept")
                return
            await self._send_new()
            if not self._request.has_meta:
                await changed.wait()
                continue
            await self._tell_stale()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_due_s()):
                    await changed.wait()

    async def _send_new(self) -> None:
        new = [(one, row) for one in self._currencies for row in one.recent.since(one.read_us)]
        for one in self._currencies:
            one.read_us = max(one.read_us, one.recent.through_us)
        await self._send_all(new)

    async def _send_all(self, rows: list[tuple[_Currency, StoredPrice]]) -> None:
        """Send the first row of each interval, in order of time, each currency in its place."""
        places = {one.name: place for place, one in enumerate(self._currencies)}
        rows.sort(key=lambda item: (self._interval_of(item[1].ts_us), places[item[0].name], item[1].ts_us))
        for one, row in rows:
            number = self._interval_of(row.ts_us)
            if number > one.sent:
                one.sent = number
                await self._send(one, number, row, is_stale=False)

    async def _tell_stale(self) -> None:
        due = self._due(now_us())
        for number in range(min(one.sent for one in self._currencies) + 1, due + 1):
            for one in self._currencies:
                if number > one.sent:
                    one.sent = number
                    if one.recent.newest is not None:
                        await self._send(one, number, one.recent.newest, is_stale=True)

    async def _send(self, one: _Currency, number: int, row: StoredPrice, *, is_stale: bool) -> None:
        at_us = number * self._request.interval_us
        fields: dict[str, object] = {"timedate": moment(at_us), "price": row.price}
        if len(self._currencies) > 1:
            fields["currency"] = one.name
        if self._request.has_meta:
            fields |= {
                "pair": str(self._plan.pairs[one.name]),
                "stale": is_stale,
                "age_s": max(0.0, (at_us - row.ts_us) / SECOND_US),
                "exchanges": row.exchanges,
            }
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._socket.send(_text(fields))

    async def _cut_off(self, why: str) -> None:
        last_us = min(one.sent for one in self._currencies) * self._request.interval_us
        log.warning("a stream of prices was cut off", reason=why)
        await self._socket.close(CloseCode.TRY_AGAIN_LATER, f"{why}; since_date={moment(last_us)} goes on")

    def _interval_of(self, ts_us: int) -> int:
        return ts_us // self._request.interval_us

    def _due(self, at_us: int) -> int:
        """The last interval whose average should be there."""
        return self._interval_of(at_us - STALE_AFTER_US)

    def _until_due_s(self) -> float:
        next_us = (min(one.sent for one in self._currencies) + 1) * self._request.interval_us
        return max(0.0, next_us + STALE_AFTER_US - now_us()) / SECOND_US


def _candidates(base: str, currency: str) -> list[Symbol]:
    return [Symbol(base, quote) for quote in (DOLLARS if currency == "USD" else (currency,))]


def _unknown(base: str, currency: str, there: Collection[Symbol]) -> PricesRefused:
    if quotes := sorted({pair.quote for pair in there if pair.base == base}):
        return PricesRefused(
            "unknown_currency",
            f"no average of {base} in {currency} is computed",
            f"there are {', '.join(quotes)}",
        )
    bases = sorted({pair.base for pair in there})
    near = difflib.get_close_matches(base, bases, n=3, cutoff=0.5) or bases[:10]
    return PricesRefused(
        "unknown_symbol", f"no average of {base} is computed", f"did you mean {', '.join(near)}?"
    )


def _refusal(connection: ServerConnection, status: HTTPStatus, refused: PricesRefused) -> Response:
    response = connection.respond(status, json.dumps(_fields(refused)) + "\n")
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/json"
    return response


def _fields(refused: PricesRefused) -> dict[str, str]:
    return {"code": refused.code, "message": str(refused), "hint": refused.hint}


def _text(fields: Mapping[str, object]) -> str:
    return msgspec.json.encode(fields).decode()


_NOT_ASKED = _text(
    {
        "type": "error",
        "code": "nothing_asked",
        "message": "a stream of prices takes no commands",
        "hint": "watches are made on /ws; to have other prices, open another /prices",
    }
)
