"""Collecting candles where the exchange makes it hard: page edges, open candles, bad answers."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import ClassVar

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coinwatch.candle_builder import candles_from_trades
from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Market, Trade
from coinwatch.windows import Window, merge
from sources.candles import Fetched, FetchedWindow, NoLongerServed, fetch_candles
from sources.exchanges import EXCHANGES
from sources.exchanges.base import Exchange, RateLimit
from sources.exchanges.kraken import Kraken
from sources.http import HttpSource, LocalBudget, Patience
from tests.sources.answering import Answering

MINUTE = 60_000_000
BTC_USD = Market.canonical("kraken:BTC-USD")
LIMIT = RateLimit(1_000_000, 1_000_000)


class SmallPages(Kraken):
    """Kraken with so small answers that a few trades need many."""

    candles_depth: ClassVar[int | None] = 4
    trades_per_request: ClassVar[int] = 3


class KrakenStandIn:
    """Answers like Kraken about ``trades`` at ``now_us``; ``since`` leaves out its own nanosecond."""

    def __init__(self, trades: list[Trade], now_us: int) -> None:
        self.trades, self.now_us = trades, now_us
        self.requests: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.path)
        since = int(request.url.params["since"])
        rows = self.ohlc(since) if request.url.path.endswith("OHLC") else self.page(since)
        body = msgspec.json.encode({"error": [], "result": {"XXBTZUSD": rows, "last": "0"}})
        date = formatdate(self.now_us // 1_000_000, usegmt=True)
        return httpx.Response(200, content=body, headers={"Date": date})

    def page(self, since_ns: int) -> list[list[object]]:
        later = [trade for trade in self.trades if trade.ts_us * 1_000 > since_ns][:3]
        return [
            [
                *(repr(trade.price), repr(trade.amount), trade.ts_us / 1e6),
                *("b" if trade.taker_buys else "s", "l", "", trade.trade_id),
            ]
            for trade in later
        ]

    def ohlc(self, since_s: int) -> list[list[object]]:
        """A row each minute, flat where nothing traded; the 4 latest closed ones and the open one."""
        by_time = {candle.open_ts_us: candle for candle in candles_from_trades(Interval.M1, self.trades)}
        newest = Interval.M1.floor(self.now_us)
        rows: list[list[object]] = []
        for open_ts_us in range(newest - 4 * MINUTE, newest + 1, MINUTE):
            candle = by_time.get(open_ts_us)
            if open_ts_us // 1_000_000 <= since_s:
                continue
            prices = (candle.open, candle.high, candle.low, candle.close) if candle else (1.0,) * 4
            volume, count = (candle.volume, candle.trades) if candle else (0.0, 0)
            rows.append([open_ts_us // 1_000_000, *map(repr, prices), "0.0", repr(volume), count])
        return rows


def trade(number: int, ts_us: int) -> Trade:
    return Trade(BTC_USD, number, ts_us, 100.0 + number % 7, 0.5, number % 2 == 0)


async def collect(
    exchange: Exchange, answers: Answering, window: Window, interval: Interval = Interval.M1
) -> list[Fetched]:
    market = Market.canonical(f"{exchange.name}:BTC-USD")
    hasty = Patience(attempts=1)
    async with HttpSource(
        exchange.name, "http://exchange.example", LocalBudget(), LIMIT, answers, patience=hasty
    ) as http:
        return [piece async for piece in fetch_candles(exchange, http, market, interval, window)]


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 90), max_size=40),
    start=st.integers(0, 20),
    length=st.integers(1, 20),
    now_s=st.integers(1, 1_800),
)
async def test_candles_match_the_trades_at_any_page_size(
    times: list[int], start: int, length: int, now_s: int
) -> None:
    """Trades every 20 s at most, up to two in the same microsecond, from pages of three."""
    ordered = sorted(time for time in times if times.count(time) <= 2)
    base = 1_000_000 * MINUTE
    now_us = base + now_s * 1_000_000
    trades = [trade(number, base + time * 20_000_000) for number, time in enumerate(ordered)]
    happened = [trade for trade in trades if trade.ts_us < now_us]
    window = Window(base + start * MINUTE, base + (start + length) * MINUTE)
    stand_in = KrakenStandIn(happened, now_us)
    pieces = await collect(SmallPages(), Answering(stand_in), window)

    closed = window.intersect(Window(0, Interval.M1.floor(now_us - 1 - SmallPages.candles_late_us)))
    covered = [piece.window for piece in pieces]
    assert merge(covered) == ([closed] if closed else [])
    assert sum(window.length_us for window in covered) == (closed.length_us if closed else 0)
    want = [
        candle
        for candle in candles_from_trades(Interval.M1, happened)
        if closed and closed.start_us <= candle.open_ts_us < closed.end_us
    ]
    assert all(isinstance(piece, FetchedWindow) for piece in pieces), "Kraken shows every trade"
    fetched = [piece for piece in pieces if isinstance(piece, FetchedWindow)]
    got = sorted(
        (candle for piece in fetched for candle in piece.candles), key=lambda candle: candle.open_ts_us
    )
    assert [msgspec.structs.replace(candle, quote_volume=None) for candle in got] == [
        msgspec.structs.replace(candle, quote_volume=None) for candle in want
    ]
    for piece in fetched:
        assert all(
            piece.window.start_us <= candle.open_ts_us < piece.window.end_us for candle in piece.candles
        )


async def test_a_microsecond_with_more_than_a_page_is_a_bad_message() -> None:
    base = 1_000_000 * MINUTE
    trades = [trade(number, base + 5) for number in range(4)]
    stand_in = KrakenStandIn(trades, base + 60 * MINUTE)
    with pytest.raises(BadMessage, match="does not advance"):
        await collect(SmallPages(), Answering(stand_in), Window(base, base + MINUTE))


def binance_answer(*rows: str, date: str | None) -> Answering:
    headers = {} if date is None else {"Date": date}
    body = f"[{','.join(rows)}]".encode()
    return Answering(lambda request: httpx.Response(200, content=body, headers=headers))


def kline(minute: int, trades: int) -> str:
    volume = "1.0" if trades else "0.0"
    return (
        f'[{minute * 60_000},"5","5","5","5","{volume}",{minute * 60_000 + 59_999},'
        f'"{volume}",{trades},"0","0","0"]'
    )


async def test_a_candle_is_final_by_the_exchanges_clock() -> None:
    answers = [kline(100, 3), kline(101, 0), kline(102, 1), kline(103, 2)]
    window = Window(100 * MINUTE, 110 * MINUTE)
    binance = EXCHANGES["binance"]
    for second, minutes in ((0, 2), (30, 2), (31, 3), (59, 3)):  # 30 s until it is final
        date = formatdate(103 * 60 + second, usegmt=True)
        [piece] = await collect(binance, binance_answer(*answers, date=date), window)
        assert isinstance(piece, FetchedWindow)
        assert piece.window == Window(100 * MINUTE, (100 + minutes) * MINUTE)
        # The flat candle of a minute without trades is none.
        assert [candle.open_ts_us // MINUTE for candle in piece.candles] == [100, 102][: minutes - 1]


async def test_the_future_is_not_verified() -> None:
    date = formatdate(100 * 60, usegmt=True)
    answers = binance_answer(kline(100, 3), date=date)
    assert await collect(EXCHANGES["binance"], answers, Window(100 * MINUTE, 110 * MINUTE)) == []


async def test_an_impossible_candle_affects_only_its_minute() -> None:
    rows = [kline(100, 3), kline(101, 2).replace('"5"', '"-5"', 1), kline(102, 1), kline(103, 0)]
    answers = binance_answer(*rows, date=formatdate(110 * 60, usegmt=True))
    pieces: list[Fetched] = []
    async with HttpSource("binance", "http://exchange.example", LocalBudget(), LIMIT, answers) as http:
        market = Market.canonical("binance:BTC-USD")
        with pytest.raises(BadMessage, match="1970-01-01T01:41:00"):  # noqa: PT012
            async for piece in fetch_candles(
                EXCHANGES["binance"], http, market, Interval.M1, Window(100 * MINUTE, 104 * MINUTE)
            ):
                pieces.append(piece)  # kept although the last step raises
    windows = [Window(100 * MINUTE, 101 * MINUTE), Window(102 * MINUTE, 104 * MINUTE)]
    assert [piece.window for piece in pieces] == windows


class GateioStandIn:
    """Answers like Gate.io at ``now_s``: candles without a trade, none older than its 10,000."""

    def __init__(self, now_s: int) -> None:
        self.now_s = now_s
        self.oldest_asked_s = now_s

    def __call__(self, request: httpx.Request) -> httpx.Response:
        start_s = int(request.url.params["from"])
        self.oldest_asked_s = min(self.oldest_asked_s, start_s)
        headers = {"Date": formatdate(self.now_s, usegmt=True)}
        if start_s < self.now_s - 10_000 * 60:
            return httpx.Response(400, json={"label": "INVALID_PARAM_VALUE"}, headers=headers)
        return httpx.Response(200, content=b"[]", headers=headers)


@pytest.mark.parametrize("ahead_s", [0, 86_400])
async def test_the_exchanges_clock_decides_what_is_gone(ahead_s: int) -> None:
    """Ours may run ahead: what the exchange still serves must not be given up."""
    now_s = int(time.time()) - ahead_s
    stand_in = GateioStandIn(now_s)
    end_us = Interval.M1.floor(now_s * 1_000_000) - 60 * MINUTE
    window = Window(end_us - 20_000 * MINUTE, end_us)
    pieces = await collect(EXCHANGES["gateio"], Answering(stand_in), window)
    [gone] = [piece for piece in pieces if isinstance(piece, NoLongerServed)]
    assert gone.window.start_us == window.start_us
    assert merge(piece.window for piece in pieces) == [window]
    depth_us = gone.window.end_us - (now_s * 1_000_000 - 9_990 * MINUTE)
    assert abs(depth_us) <= MINUTE
    assert "newest 9,990 candles" in gone.reason


async def test_an_answer_without_a_date_is_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="Date"):
        await collect(EXCHANGES["binance"], binance_answer(date=None), Window(100 * MINUTE, 110 * MINUTE))


async def test_a_window_shorter_than_a_candle_needs_no_request() -> None:
    stand_in = KrakenStandIn([], 10**15)
    pieces = await collect(SmallPages(), Answering(stand_in), Window(1, MINUTE - 1))
    assert (pieces, stand_in.requests) == ([], [])


async def test_an_unsupported_interval_is_fatal() -> None:
    with pytest.raises(Fatal, match="4h"):
        await collect(
            EXCHANGES["coinbase"],
            binance_answer(date=None),
            Window(0, Interval.D1.us),
            interval=Interval.H4,
        )
