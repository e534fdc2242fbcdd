"""The trades of a span by REST, at every kind of page edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Retryable
from coinwatch.records import Market, Trade
from coinwatch.times import SECOND_US
from sources.exchanges.base import Paging, RateLimit, RestRequest
from sources.exchanges.kraken import Kraken
from sources.http import HttpSource, LocalBudget, Patience
from sources.trades import FetchedTrades, Mark, fetch_trades
from tests.sources.answering import Answering

BTC_USD = Market.canonical("kraken:BTC-USD")


class Paged(Kraken):
    """An exchange with answers like Kraken's, but that pages in any way, a few trades at a time."""

    trades_per_request: ClassVar[int] = 4

    def __init__(self, paging: Paging, *, consecutive: bool, step_us: int) -> None:
        # Of this one instance only.
        vars(self).update(trade_paging=paging, consecutive_ids=consecutive, rest_ts_step_us=step_us)

    def trades_request(
        self,
        market: Market,
        *,
        from_id: int | None = None,
        since_us: int | None = None,
        before_id: int | None = None,
    ) -> RestRequest:
        given = {"from_id": from_id, "since_us": since_us, "before_id": before_id}
        return RestRequest("/trades", {k: str(v) for k, v in given.items() if v is not None})

    def newest_trades_requests(self, market: Market) -> list[RestRequest]:
        return [RestRequest("/trades", {"newest": str(count)}) for count in (1, 3, 5)]


class StandIn:
    """Answers a Paged exchange about ``trades``."""

    def __init__(self, exchange: Paged, trades: Sequence[Trade], *, shown: int | None = None) -> None:
        self.exchange = exchange
        self.trades = trades[-shown:] if shown else trades
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        assert self.requests < 200
        asked = {name: int(value) for name, value in request.url.params.items()}
        step, size = self.exchange.rest_ts_step_us, self.exchange.trades_per_request
        rounded = [msgspec.structs.replace(t, ts_us=t.ts_us - t.ts_us % step) for t in self.trades]
        match asked:
            case {"from_id": from_id}:
                page = [t for t in rounded if t.trade_id >= from_id][:size]
            case {"since_us": since_us}:
                page = [t for t in rounded if t.ts_us >= since_us][:size]
            case {"before_id": before_id}:
                page = [t for t in rounded if t.trade_id < before_id][-size:]
            case _:
                page = rounded[-asked.get("newest", size) :]
        rows = [
            ["1.0", "2.0", t.ts_us / 1e6, "b" if t.taker_buys else "s", "l", "", t.trade_id] for t in page
        ]
        body = msgspec.json.encode({"error": [], "result": {"XXBTZUSD": rows, "last": "0"}})
        return httpx.Response(200, content=body)


async def ask(stand_in: StandIn, after: Mark, until: Mark | None) -> list[FetchedTrades]:
    limit = RateLimit(1_000_000, 1_000_000)
    async with HttpSource(
        "kraken",
        "http://exchange.example",
        LocalBudget(),
        limit,
        Answering(stand_in),
        patience=Patience(attempts=1),
    ) as http:
        return [page async for page in fetch_trades(stand_in.exchange, http, BTC_USD, after, until)]


def happened(times: Sequence[int], hole: int = 1) -> list[Trade]:
    """Trades at ``times`` in milliseconds; ``hole`` is how much each id is more than the one before."""
    base = 10**9 * SECOND_US
    return [
        Trade(BTC_USD, 100 + n * hole, base + time * 1_000, 1.0, 2.0, n % 2 == 0)
        for n, time in enumerate(sorted(times))
    ]


PAGINGS = st.sampled_from(
    [
        (paging, consecutive, step_us)
        for paging in Paging
        for consecutive in (True, False)
        for step_us in (1, 4_000)
        if consecutive or paging is not Paging.FROM_ID
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    paging=PAGINGS,
    times=st.lists(st.integers(0, 60) | st.integers(0, 3), min_size=4, max_size=30),
    ends=st.tuples(st.integers(0, 29), st.integers(0, 29)),
    with_ids=st.tuples(st.booleans(), st.booleans()),
    to_now=st.booleans(),
)
async def test_no_trade_is_lost_at_any_page_size(
    paging: tuple[Paging, bool, int],
    times: list[int],
    ends: tuple[int, int],
    with_ids: tuple[bool, bool],
    to_now: bool,
) -> None:
    mode, consecutive, step_us = paging
    exchange = Paged(mode, consecutive=consecutive, step_us=step_us)
    # By time no exchange could page through more trades of one moment than a page holds.
    most = exchange.trades_per_request - 1 if mode is Paging.SINCE else len(times)
    moments: dict[int, list[int]] = {}
    for time in times:
        moments.setdefault(time * 1_000 // step_us, []).append(time)
    few = [time for moment in moments.values() for time in moment[:most]]
    trades = happened(few, 1 if consecutive else 7)
    first, last = sorted(end % len(trades) for end in ends)
    marks = [
        Mark(trades[end].trade_id if known else None, trades[end].ts_us)
        for end, known in zip((first, last), with_ids, strict=True)
    ]
    pages = await ask(StandIn(exchange, trades), marks[0], None if to_now else marks[1])

    inside = [
        trade
        for trade in (trades[first + 1 :] if to_now else trades[first + 1 : last])
        # A mark without an id is all of its moment.
        if (with_ids[0] or trade.ts_us > marks[0].ts_us)
        and (to_now or with_ids[1] or trade.ts_us < marks[1].ts_us)
    ]
    fetched_ids = {trade.trade_id for page in pages for trade in page.trades}
    missing = [page.missing for page in pages if page.missing]
    lost = {trade.trade_id for trade in inside} - fetched_ids
    assert bool(missing) or not lost
    assert mode is Paging.NEWEST or not missing
    for gap in missing:
        assert gap.after == marks[0]
        shown = trades[-5:]
        assert not to_now or gap.before is not None
        if (
            gap.before is not None
            and gap.before.trade_id is not None
            and not to_now
            and gap.before == marks[1]
        ):
            assert shown[0].trade_id >= gap.before.trade_id
        elif gap.before is not None and gap.before.trade_id is not None:
            assert lost == {trade.trade_id for trade in inside if trade.trade_id < gap.before.trade_id}
        elif gap.before is not None:
            assert all(trade.ts_us < gap.before.ts_us for trade in inside if trade.trade_id in lost)
            assert gap.before.ts_us <= max(shown[0].ts_us + 2 * step_us, marks[1].ts_us)
    assert all(trade.ts_us >= marks[0].ts_us - step_us for page in pages for trade in page.trades)


@pytest.mark.parametrize("paging", list(Paging))
async def test_a_trade_not_served_yet_is_retryable(paging: Paging) -> None:
    exchange = Paged(paging, consecutive=True, step_us=1)
    trades = happened(range(20))
    stand_in = StandIn(exchange, trades[:-1])
    until = Mark(trades[-1].trade_id, trades[-1].ts_us)
    with pytest.raises(Retryable, match=f"does not show trade {trades[-1].trade_id} yet"):
        await ask(stand_in, Mark(trades[15].trade_id, trades[15].ts_us), until)
    with pytest.raises(Retryable, match=f"does not show a trade at {trades[-1].ts_us} us yet"):
        await ask(stand_in, Mark(trades[15].trade_id, trades[15].ts_us), Mark(None, until.ts_us))


@pytest.mark.parametrize("paging", [Paging.FROM_ID, Paging.BEFORE_ID, Paging.NEWEST])
async def test_the_unavailable_part_is_exact(paging: Paging) -> None:
    exchange = Paged(paging, consecutive=True, step_us=1)
    trades = happened(range(20))
    after, until = (Mark(t.trade_id, t.ts_us) for t in (trades[3], trades[18]))
    pages = await ask(StandIn(exchange, trades, shown=5), after, until)
    [missing] = [page.missing for page in pages if page.missing]
    assert (missing.after, missing.before) == (after, Mark(trades[15].trade_id, trades[15].ts_us))
    assert "kraken's REST API shows" in missing.reason
    fetched_ids = {trade.trade_id for page in pages for trade in page.trades}
    assert {trade.trade_id for trade in trades[15:18]} <= fetched_ids


async def test_a_span_without_any_served_trade_is_missing() -> None:
    exchange = Paged(Paging.NEWEST, consecutive=True, step_us=1)
    trades = happened(range(20))
    after, until = (Mark(t.trade_id, t.ts_us) for t in (trades[3], trades[8]))
    [page] = await ask(StandIn(exchange, trades), after, until)
    assert page.missing is not None
    assert (page.trades, page.missing.after, page.missing.before) == ([], after, until)
    assert page.missing.reason == "kraken's REST API shows only its newest 5 trades"


async def test_the_smallest_sufficient_answer_is_used() -> None:
    exchange = Paged(Paging.NEWEST, consecutive=True, step_us=1)
    trades = happened(range(40))
    stand_in = StandIn(exchange, trades)
    [page] = await ask(stand_in, Mark(trades[-3].trade_id, trades[-3].ts_us), None)
    assert (page.trades, page.missing, stand_in.requests) == (trades[-3:], None, 2)


async def test_a_market_without_trades_has_none_missing() -> None:
    for paging in Paging:
        stand_in = StandIn(Paged(paging, consecutive=True, step_us=1), [])
        pages = await ask(stand_in, Mark(None, 10**15), None)
        assert [(page.trades, page.missing) for page in pages] == [([], None)]


async def test_a_full_page_at_one_time_does_not_loop() -> None:
    exchange = Paged(Paging.SINCE, consecutive=True, step_us=1)
    trades = happened([1, 2, 2, 2, 2, 3])
    with pytest.raises(BadMessage, match="does not advance"):
        await ask(StandIn(exchange, trades), Mark(trades[0].trade_id, trades[0].ts_us), None)


async def test_a_page_ending_at_the_last_time_is_followed_by_another() -> None:
    exchange = Paged(Paging.SINCE, consecutive=False, step_us=1)
    trades = happened([1, 2, 3, 4, 4, 4, 5])
    after, until = (Mark(t.trade_id, t.ts_us) for t in (trades[0], trades[5]))
    pages = await ask(StandIn(exchange, trades), after, until)
    assert [trade for page in pages for trade in page.trades] == trades[:6]
