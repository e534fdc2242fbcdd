"""What the Overview shows, built from rows. Pure: no Streamlit, no clock."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from app.dashboard.ui.problems import Problem
from app.dashboard.ui.trend import Seen, Trend
from app.dashboard.ui.trend import since as trend_since
from coinwatch import formats
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US
from warehouse.averages.store import LATEST_US, PairAverage
from warehouse.candles.chart_reads import DayStats, LastTrade, StreamState, TradeRate, WatchedMarket

ENOUGH_EXCHANGES = 3
"""An average of fewer is called degraded."""

LEAST_PATIENCE_US = 30 * SECOND_US
MOST_PATIENCE_US = 15 * MINUTE_US
USUAL_GAPS = 10
"""A market is stale after this many of its usual gaps between trades, within the two bounds above."""

DAEMON_SILENT_US = 10 * SECOND_US
"""What a daemon wrote longer ago says nothing of now."""

WHOLE_DAY_US = DAY_US - 30 * MINUTE_US
"""History at least this long counts as the whole 24 hours."""


class CardState(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    STALE = "stale"
    EMPTY = "empty"


@dataclass(frozen=True)
class Constituent:
    """One exchange of a card."""

    exchange: str
    price: float | None
    age_us: int | None
    used: bool
    reason: str
    """Why it is left out, in words; empty when used."""


@dataclass(frozen=True)
class Card:
    """A symbol: its price is the stored average, or where there is none of late, the median of each
    fresh exchange's last trade."""

    symbol: Symbol
    state: CardState
    message: str
    """Why the state is not ok, or what the price is made of when it is."""
    price: float | None = None
    trend: Trend = Trend.FLAT
    moved: bool = False
    """Whether the price differs from the one this viewer saw last."""
    as_of_us: int | None = None
    """The newest trade in the price."""
    change: float | None = None
    span_us: int = DAY_US
    """What change, high, low and volume cover: 24 hours, or what there is so far."""
    high: float | None = None
    low: float | None = None
    quote_volume: float | None = None
    constituents: tuple[Constituent, ...] = ()
    sparkline: tuple[tuple[int, float], ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(one.exchange for one in self.constituents if one.used)


@dataclass(frozen=True)
class Overview:
    cards: tuple[Card, ...]
    markets: int
    live_markets: int
    trades_per_s: float
    newest_us: int | None
    """The newest trade of any market; None when there is none within a day."""


def patience_us(rate: TradeRate | None) -> int:
    """How long a market may be silent and still count as live, by its own usual rate."""
    if rate is None or rate.trades < 2:
        return LEAST_PATIENCE_US
    usual_us = rate.span_us // (rate.trades - 1)
    return max(LEAST_PATIENCE_US, min(USUAL_GAPS * usual_us, MOST_PATIENCE_US))


def build(
    markets: Sequence[WatchedMarket],
    latest: Iterable[LastTrade],
    *,
    averages: Iterable[PairAverage] = (),
    day: Iterable[DayStats] = (),
    rates: Iterable[TradeRate] = (),
    streams: Iterable[StreamState] = (),
    sparklines: Mapping[Symbol, tuple[tuple[int, float], ...]] | None = None,
    seen: Mapping[Symbol, Seen] | None = None,
    wanted: Collection[Symbol] = (),
    now_us: int,
) -> Overview:
    """One card per symbol, those on most exchanges first, or those ``wanted`` in their order.

    ``averages`` that are not of the last seconds are not used.
    """
    average_of = {pair.symbol: pair for pair in averages if now_us - pair.ts_us < LATEST_US}
    last_of = {trade.market_id: trade for trade in latest}
    day_of = {stats.market_id: stats for stats in day}
    rate_of = {rate.market_id: rate for rate in rates}
    stream_of = {stream.market_id: stream for stream in streams}
    by_symbol: dict[Symbol, list[WatchedMarket]] = {}
    for watched in markets:
        by_symbol.setdefault(watched.market.symbol, []).append(watched)

    cards = []
    live_markets = 0
    for symbol, members in by_symbol.items():
        average = average_of.get(symbol)
        constituents = tuple(
            _constituent(
                watched,
                average,
                last_of.get(watched.market_id),
                rate_of.get(watched.market_id),
                stream_of.get(watched.market_id),
                now_us,
            )
            for watched in members
        )
        live_markets += sum(one.used for one in constituents)
        if not wanted or symbol in wanted:
            cards.append(
                _card(
                    symbol,
                    average,
                    constituents,
                    [last_of.get(watched.market_id) for watched in members],
                    [day_of.get(watched.market_id) for watched in members],
                    (sparklines or {}).get(symbol, ()),
                    (seen or {}).get(symbol),
                    now_us,
                )
            )
    place_of = {symbol: place for place, symbol in enumerate(wanted)}
    cards.sort(key=lambda card: (place_of.get(card.symbol, 0), -len(card.constituents), card.symbol))
    return Overview(
        cards=tuple(cards),
        markets=len(markets),
        live_markets=live_markets,
        trades_per_s=sum(_per_second(rate, last_of.get(id_), now_us) for id_, rate in rate_of.items()),
        newest_us=max((trade.ts_us for trade in last_of.values()), default=None),
    )


def why_quiet(
    markets: Sequence[WatchedMarket], streams: Sequence[StreamState], now_us: int
) -> tuple[str, ...]:
    """Why no market trades: a line for each exchange that a daemon tells of, none when no daemon runs."""
    exchange_of = {watched.market_id: watched.market.exchange for watched in markets}
    reasons: dict[str, str] = {}
    for stream in streams:
        exchange = exchange_of.get(stream.market_id)
        if exchange is None or now_us - stream.updated_us > DAEMON_SILENT_US:
            continue
        if stream.state == "live":
            reasons.setdefault(exchange, "live, but nothing has traded yet")
        else:
            reasons[exchange] = stream.state + (f": {stream.last_error[:120]}" if stream.last_error else "")
    return tuple(f"{exchange} is {reason}" for exchange, reason in sorted(reasons.items()))


def remember(overview: Overview, seen: Mapping[Symbol, Seen]) -> dict[Symbol, Seen]:
    """The prices a viewer has seen after this overview."""
    shown = {card.symbol: Seen(card.price, card.trend) for card in overview.cards if card.price is not None}
    return {**seen, **shown}


def _constituent(
    watched: WatchedMarket,
    average: PairAverage | None,
    last: LastTrade | None,
    rate: TradeRate | None,
    stream: StreamState | None,
    now_us: int,
) -> Constituent:
    exchange = watched.market.exchange
    trouble = ""
    if stream is not None and stream.state != "live":
        trouble = f", stream {stream.state}" + (f" ({stream.last_error[:120]})" if stream.last_error else "")
    if last is None:
        return Constituent(exchange, None, None, False, f"no live trade in 24 h{trouble}")
    age_us = max(0, now_us - last.ts_us)
    given = average.average.inputs.get(exchange) if average is not None else None
    if given is not None:
        return Constituent(
            exchange, last.price, age_us, given.used, f"{given.why}{trouble}" if given.why else ""
        )
    if age_us > patience_us(rate):
        return Constituent(
            exchange, last.price, age_us, False, f"silent for {formats.duration(age_us)}{trouble}"
        )
    return Constituent(exchange, last.price, age_us, True, "")


def _card(
    symbol: Symbol,
    average: PairAverage | None,
    constituents: tuple[Constituent, ...],
    latest: Sequence[LastTrade | None],
    day: Sequence[DayStats | None],
    sparkline: tuple[tuple[int, float], ...],
    seen: Seen | None,
    now_us: int,
) -> Card:
    used = [i for i, one in enumerate(constituents) if one.used]
    # With no fresh exchange the last known price is shown, marked stale, from whoever traded last.
    basis = used or _newest(latest)
    if not basis:
        return Card(symbol, CardState.EMPTY, "no live trade in the last 24 h", constituents=constituents)
    trades = [trade for i in basis if (trade := latest[i]) is not None]
    price = average.average.price if average is not None else median(trade.price for trade in trades)
    stats = [one for i in basis if (one := day[i]) is not None]
    change = None
    high = low = volume = None
    span_us = 0
    if stats:
        # Where some begin later than others, a change from all their first prices would be of no span.
        earliest_us = min(one.first_us for one in stats)
        stats = [one for one in stats if one.first_us - earliest_us <= DAY_US - WHOLE_DAY_US]
        span_us = now_us - max(one.first_us for one in stats)
        change = price / median(one.open for one in stats) - 1
        # A price read a moment after the statistics may lie outside them.
        high = max(price, median(one.high for one in stats))
        low = min(price, median(one.low for one in stats))
        volume = sum(one.quote_volume for one in day if one is not None)
    if average is not None and average.change_24h is not None:
        change, high, low, span_us = average.change_24h, average.high_24h, average.low_24h, DAY_US
    trend, moved = trend_since(seen, price)
    # An average may also be made of other quotes of the pair.
    state, message = _state(constituents, len(used) if average is None else len(average.average.exchanges))
    if average is not None and not message:
        spread = f"± {average.average.confidence:,.{formats.price_decimals(price)}f}"
        message = f"Average of {len(average.average.exchanges)} exchanges, {spread}"
    return Card(
        symbol=symbol,
        state=state,
        message=message,
        price=price,
        trend=trend,
        moved=moved,
        as_of_us=max(trade.ts_us for trade in trades),
        change=change,
        span_us=DAY_US if span_us >= WHOLE_DAY_US else span_us,
        high=high,
        low=low,
        quote_volume=volume,
        constituents=constituents,
        sparkline=sparkline,
    )


def _newest(latest: Sequence[LastTrade | None]) -> list[int]:
    traded = [i for i, trade in enumerate(latest) if trade is not None]
    return [max(traded, key=lambda i: trade.ts_us if (trade := latest[i]) else 0)] if traded else []


def _state(constituents: tuple[Constituent, ...], used: int) -> tuple[CardState, str]:
    if not used:
        return CardState.STALE, "no exchange is live; last known price"
    state = CardState.OK if used >= ENOUGH_EXCHANGES else CardState.DEGRADED
    left_out = [f"{one.exchange}, {one.reason}" for one in constituents if not one.used]
    if left_out:
        return state, f"{used} of {len(constituents)} exchanges. Left out: {'; '.join(left_out)}"
    if state is CardState.OK:
        return state, ""
    only = formats.names([one.exchange for one in constituents])
    return CardState.DEGRADED, f"only {only}: a sound average needs {ENOUGH_EXCHANGES} exchanges"


def _per_second(rate: TradeRate, last: LastTrade | None, now_us: int) -> float:
    """Trades a second now: a market that fell silent counts its silence."""
    if rate.trades < 2 or last is None:
        return 0.0
    silence_us = max(0, now_us - last.ts_us)
    return (rate.trades - 1) * SECOND_US / max(rate.span_us + silence_us, SECOND_US)


def movers(view: Overview, most: int = 3) -> tuple[tuple[Card, ...], tuple[Card, ...]]:
    """The symbols that rose and that fell most in 24 hours, the furthest first; no stale ones.

    Of each asset the one on most exchanges: against several currencies it moves the same way.
    """
    of_base: dict[str, Card] = {}
    for card in sorted(view.cards, key=lambda card: -len(card.constituents)):
        if card.change is not None and card.state in (CardState.OK, CardState.DEGRADED):
            of_base.setdefault(card.symbol.base, card)
    moved = of_base.values()
    by_change = sorted(moved, key=lambda card: card.change or 0.0)
    falling = tuple(card for card in by_change[:most] if (card.change or 0.0) < 0)
    rising = tuple(card for card in by_change[::-1][:most] if (card.change or 0.0) > 0)
    return rising, falling


def by_kind(found: Sequence[Problem]) -> tuple[tuple[str, str], ...]:
    """Troubles as (where, what), those that differ in nothing but where and in numbers as one."""
    kinds: dict[str, list[Problem]] = {}
    for one in found:
        kinds.setdefault(re.sub(r"[\d.]+", "", one.what), []).append(one)
    return tuple(
        (one.where if not others else f"{one.where} and {len(others)} more", one.what)
        for one, *others in kinds.values()
    )
