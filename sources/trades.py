"""Fetching the trades of one market over a span, by the paging its exchange's REST API offers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from coinwatch.errors import BadMessage, Fatal, Retryable
from coinwatch.records import Market, Trade
from coinwatch.times import MINUTE_US, now_us, to_datetime
from sources.exchanges.base import Exchange, Paging, RestRequest
from sources.http import HttpSource


class Mark(msgspec.Struct, frozen=True):
    """An end of a span: a trade that is already known."""

    trade_id: int | None
    """None when only the time is known."""
    ts_us: int


class Missing(msgspec.Struct, frozen=True):
    """The part of a span that the REST API no longer serves; both ends are known trades."""

    after: Mark
    before: Mark | None
    """None for a span up to now."""
    reason: str
    """A sentence such as ``bybit's REST API shows only its newest 60 trades``."""


class FetchedTrades(msgspec.Struct, frozen=True):
    """A page of trades of a span, and the part of the span that is not available."""

    trades: list[Trade]
    missing: Missing | None = None


async def fetch_trades(
    exchange: Exchange, http: HttpSource, market: Market, after: Mark, until: Mark | None
) -> AsyncIterator[FetchedTrades]:
    """Fetch every trade after ``after`` up to ``until`` (None for the newest), page by page.

    Pages arrive in any order. They may repeat trades and include the trades at the ends of the span or,
    where the REST API rounds times, just beyond.

    Raises:
        Retryable: A temporary failure, or the REST API lags behind the stream and lacks ``until``.
        Fatal, BadMessage: As ``HttpSource.get``. Pages yielded before remain valid.
    """
    span = _Span(exchange, http, market, after, until)
    if exchange.trade_paging is Paging.SINCE:
        pages = span.since()
    elif exchange.trade_paging is Paging.NEWEST:
        pages = span.newest()
    elif exchange.trade_paging is Paging.FROM_ID and after.trade_id is not None:
        pages = span.onwards(after.trade_id)
    else:
        pages = span.backwards()
    async for page in pages:
        yield page


async def pages_since(
    exchange: Exchange, http: HttpSource, market: Market, since_us: int
) -> AsyncIterator[list[Trade]]:
    """Fetch the trades at or after ``since_us``, oldest first and each once, up to the newest.

    For exchanges with ``Paging.SINCE``. Raises like ``fetch_trades``, and Fatal when the exchange no longer
    serves trades that old.
    """
    if since_us < _oldest_shown_us(exchange):
        raise Fatal(
            exchange.name, f"{market}: the REST API does not serve trades as old as {to_datetime(since_us)}"
        )
    repeated: set[int] = set()  # ids of trades at ``since_us``, which the next page repeats
    while True:
        answer = await http.get(exchange.trades_request(market, since_us=since_us))
        page = exchange.decode_trades(market, answer.body)
        yield [trade for trade in page if trade.ts_us >= since_us and trade.trade_id not in repeated]
        if len(page) < exchange.trades_per_request:
            return
        reached_us = page[-1].ts_us
        if reached_us <= since_us:
            raise BadMessage(
                exchange.name,
                f"{market}: a page of {len(page)} trades does not advance beyond {since_us} us",
                answer.body,
            )
        since_us = reached_us
        repeated = {trade.trade_id for trade in page if trade.ts_us == reached_us}


def _oldest_shown_us(exchange: Exchange) -> int:
    return 0 if exchange.trades_reach_us is None else now_us() - exchange.trades_reach_us


class _Span:
    """The span between two marks, and the ways to page through it."""

    def __init__(
        self, exchange: Exchange, http: HttpSource, market: Market, after: Mark, until: Mark | None
    ) -> None:
        self._exchange = exchange
        self._http = http
        self._market = market
        self._after = after
        self._until = until
        self._start_us = self._rest_time(after.ts_us)
        self._ids_grow = exchange.consecutive_ids or exchange.trade_paging in (
            Paging.FROM_ID,
            Paging.BEFORE_ID,
        )

    async def onwards(self, first_id: int) -> AsyncIterator[FetchedTrades]:
        """Page forward by id from ``first_id``."""
        from_id, shown = first_id, False
        while True:
            page = await self._page(self._exchange.trades_request(self._market, from_id=from_id))
            newer = [trade for trade in page if trade.trade_id >= from_id]
            lost = from_id == first_id and newer and not self._reaches_back(newer)
            yield FetchedTrades(self._part(newer), self._older_missing(newer) if lost else None)
            shown = shown or self._shows_end(newer)
            if self._is_past_end(newer):
                return
            if not newer or len(page) < self._exchange.trades_per_request:
                break
            from_id = newer[-1].trade_id + 1
        self._check(shown)

    async def backwards(self) -> AsyncIterator[FetchedTrades]:
        """Page backward by id from the end of the span."""
        until = self._until
        before_id = None if until is None or until.trade_id is None else until.trade_id + 1
        oldest: list[Trade] = []
        while True:
            page = await self._page(self._request_before(before_id))
            older = [trade for trade in page if before_id is None or trade.trade_id < before_id]
            if not oldest:
                self._check(self._shows_end(older))
            oldest = older[:1] or oldest
            if self._reaches_back(older):
                yield FetchedTrades(self._part(older))
                return
            if not older or len(page) < self._exchange.trades_per_request:
                # The oldest page available. If it lacks a known trade, older ones were lost.
                lost = self._after.trade_id is not None
                yield FetchedTrades(self._part(older), self._older_missing(oldest) if lost else None)
                return
            yield FetchedTrades(self._part(older))
            before_id = older[0].trade_id

    async def since(self) -> AsyncIterator[FetchedTrades]:
        """Page forward by time from the start of the span."""
        oldest_us = _oldest_shown_us(self._exchange)
        shown = self._until is not None and self._until.ts_us < oldest_us
        lost = self._start_us < oldest_us
        # A margin, because some time may pass before the request is sent.
        start_us = oldest_us + MINUTE_US if lost else self._start_us
        async for page in pages_since(self._exchange, self._http, self._market, start_us):
            yield FetchedTrades(self._part(page), self._older_missing(page) if lost else None)
            lost = False
            shown = shown or self._shows_end(page)
            if self._is_past_end(page):
                return
        self._check(shown)

    async def newest(self) -> AsyncIterator[FetchedTrades]:
        """Request the smallest answer that reaches back to the start, else the largest and what it lacks."""
        page: list[Trade] = []
        reached = False
        for request in self._exchange.newest_trades_requests(self._market):
            page = await self._page(request)
            reached = self._reaches_back(page)
            if reached:
                break
        self._check(self._shows_end(page))
        # A short answer has all trades that exist, unless it lacks a known trade.
        all_shown = self._after.trade_id is None and len(page) < self._exchange.trades_per_request
        lost = not (reached or all_shown)
        yield FetchedTrades(self._part(page), self._older_missing(page) if lost else None)

    async def _page(self, request: RestRequest) -> list[Trade]:
        answer = await self._http.get(request)
        return self._exchange.decode_trades(self._market, answer.body)

    def _request_before(self, trade_id: int | None) -> RestRequest:
        if trade_id is None:
            return self._exchange.trades_request(self._market)
        if self._exchange.trade_paging is Paging.BEFORE_ID:
            return self._exchange.trades_request(self._market, before_id=trade_id)
        from_id = max(trade_id - self._exchange.trades_per_request, 0)
        return self._exchange.trades_request(self._market, from_id=from_id)

    def _rest_time(self, ts_us: int) -> int:
        """``ts_us`` as the REST API rounds it."""
        return ts_us - ts_us % self._exchange.rest_ts_step_us

    def _part(self, page: Sequence[Trade]) -> list[Trade]:
        """The trades of the page that belong to the span by id or by time."""
        return [trade for trade in page if self._is_after(trade) and self._is_until(trade)]

    def _is_after(self, trade: Trade) -> bool:
        known = self._after.trade_id if self._ids_grow else None
        return trade.ts_us >= self._start_us or (known is not None and trade.trade_id > known)

    def _is_until(self, trade: Trade) -> bool:
        if self._until is None:
            return True
        known = self._until.trade_id if self._ids_grow else None
        return trade.ts_us <= self._until.ts_us or (known is not None and trade.trade_id < known)

    def _reaches_back(self, page: Sequence[Trade]) -> bool:
        """Whether ``page`` starts early enough that no trade of the span can be older."""
        if not page:
            return False
        known = self._after.trade_id
        if known is not None and self._ids_grow:
            return page[0].trade_id <= known + int(self._exchange.consecutive_ids)
        if known is not None and self._exchange.has_trade_ids and any(t.trade_id == known for t in page):
            return True
        # A page may hold only some of the trades at its oldest time.
        return page[0].ts_us < self._start_us

    def _shows_end(self, page: Sequence[Trade]) -> bool:
        """Whether the REST API already serves the end of the span."""
        until = self._until
        if until is None or self._is_past_end(page):
            return True
        if until.trade_id is None:
            return any(trade.ts_us >= self._rest_time(until.ts_us) for trade in page)
        return any(trade.trade_id == until.trade_id for trade in page)

    def _is_past_end(self, page: Sequence[Trade]) -> bool:
        """Whether trades after those of ``page`` are beyond the span."""
        until = self._until
        if until is None:
            return False
        if until.trade_id is not None and self._ids_grow:
            return any(trade.trade_id >= until.trade_id for trade in page)
        return any(trade.ts_us > self._rest_time(until.ts_us) for trade in page)

    def _check(self, is_end_shown: bool) -> None:
        end = self._until
        if end is not None and not is_end_shown:
            what = f"a trade at {end.ts_us} us" if end.trade_id is None else f"trade {end.trade_id}"
            raise Retryable(self._exchange.name, f"{self._market}: the REST API does not show {what} yet")

    def _older_missing(self, page: Sequence[Trade]) -> Missing:
        """The part of the span before the oldest trade of ``page``, the oldest that REST serves."""
        name = self._exchange.name
        if not page:
            return Missing(self._after, self._until, f"{name}'s REST API no longer shows any trades")
        oldest, step_us = page[0], self._exchange.rest_ts_step_us
        if self._exchange.trade_paging is Paging.NEWEST:
            reason = f"{name}'s REST API shows only its newest {len(page):,} trades"
        else:
            reason = f"{name}'s REST API shows no trades before {oldest.trade_id}"
        if self._until is not None and self._is_past_end([oldest]):
            return Missing(self._after, self._until, reason)
        if self._ids_grow:
            return Missing(self._after, Mark(oldest.trade_id, oldest.ts_us + step_us - 1), reason)
        # Other trades at its time may be missing: only what follows that time is known.
        return Missing(self._after, Mark(None, oldest.ts_us + step_us), reason)
