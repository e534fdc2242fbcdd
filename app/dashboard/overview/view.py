"""What the Overview shows, built from rows. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from app.dashboard.ui.trend import Seen, Trend
from app.dashboard.ui.trend import since as trend_since
from coinwatch import formats
from coinwatch.averaging.average import MIN_EXCHANGES, Average, Candidate
from coinwatch.averaging.average import average as average_of
from coinwatch.liveness import SILENT_S, WHOLE_DAY_US, is_average_stale, silent_after_us
from coinwatch.records import Symbol
from coinwatch.times import DAY_US, SECOND_US
from warehouse.averages.store import PairAverage
from warehouse.candles.chart_reads import DayStats, LastTrade, StreamState, TradeRate, WatchedMarket


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
    """Why it is excluded; empty when used."""


@dataclass(frozen=True)
class Card:
    """A symbol. Its price is the live stored average; else the average of the last trades by the same
    rules; else the newest trade."""

    symbol: Symbol
    state: CardState
    message: str
    """Why the state is not ok; else what the price is computed from."""
    price: float | None = None
    trend: Trend = Trend.FLAT
    moved: bool = False
    """Whether the price differs from the one this viewer saw last."""
    as_of_us: int | None = None
    """The time of the newest trade in the price."""
    change: float | None = None
    span_us: int = DAY_US
    """The time covered by change, high, low and volume: 24 hours, or what is stored so far."""
    high: float | None = None
    low: float | None = None
    quote_volume: float | None = None
    constituents: tuple[Constituent, ...] = ()
    sparkline: tuple[tuple[int, float], ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(part.exchange for part in self.constituents if part.used)


@dataclass(frozen=True)
class Overview:
    cards: tuple[Card, ...]
    markets: int
    live_markets: int
    trades_per_s: float
    newest_us: int | None
    """The time of the newest trade of any market; None without a trade in 24 hours."""


@dataclass(frozen=True)
class _Rows:
    """What is read of one market."""

    watched: WatchedMarket
    last: LastTrade | None
    day: DayStats | None
    rate: TradeRate | None
    stream: StreamState | None

    def age_us(self, now_us: int) -> int:
        """Since the last trade; it must have one."""
        return max(0, now_us - self.last.ts_us) if self.last is not None else 0

    def candidate(self, now_us: int) -> Candidate | None:
        """This market as an input of an average; None without a trade."""
        if self.last is None:
            return None
        return Candidate(
            name=self.watched.market.exchange,
            price=self.last.price,
            ts_us=self.last.ts_us,
            age_us=self.age_us(now_us),
            mean_interval_us=self.rate.mean_interval_us if self.rate is not None else None,
            volume=self.day.quote_volume if self.day is not None else 0.0,
        )


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
    """One card per symbol, those on most exchanges first; or the ``wanted`` symbols in their order.

    Stale ``averages`` are ignored.
    """
    live_averages = {pair.symbol: pair for pair in averages if not is_average_stale(pair.ts_us, now_us)}
    last_by_id = {trade.market_id: trade for trade in latest}
    day_by_id = {stats.market_id: stats for stats in day}
    rate_by_id = {rate.market_id: rate for rate in rates}
    stream_by_id = {stream.market_id: stream for stream in streams}
    by_symbol: dict[Symbol, list[_Rows]] = {}
    for watched in markets:
        id_ = watched.market_id
        rows = _Rows(
            watched, last_by_id.get(id_), day_by_id.get(id_), rate_by_id.get(id_), stream_by_id.get(id_)
        )
        by_symbol.setdefault(watched.market.symbol, []).append(rows)

    cards = []
    live_markets = 0
    for symbol, members in by_symbol.items():
        stored = live_averages.get(symbol)
        average = stored.average if stored is not None else _average(members, now_us)
        constituents = tuple(_constituent(rows, average, now_us) for rows in members)
        live_markets += sum(part.used for part in constituents)
        if not wanted or symbol in wanted:
            sparkline = (sparklines or {}).get(symbol, ())
            previous = (seen or {}).get(symbol)
            cards.append(_card(symbol, stored, average, constituents, members, sparkline, previous, now_us))
    place_of = {symbol: place for place, symbol in enumerate(wanted)}
    cards.sort(key=lambda card: (place_of.get(card.symbol, 0), -len(card.constituents), card.symbol))
    return Overview(
        cards=tuple(cards),
        markets=len(markets),
        live_markets=live_markets,
        trades_per_s=sum(
            _trades_per_s(rate, last_by_id.get(id_), now_us) for id_, rate in rate_by_id.items()
        ),
        newest_us=max((trade.ts_us for trade in last_by_id.values()), default=None),
    )


def why_quiet(
    markets: Sequence[WatchedMarket], streams: Sequence[StreamState], now_us: int
) -> tuple[str, ...]:
    """Why no market trades: a line for each exchange whose stream reports; none without a daemon."""
    exchange_by_id = {watched.market_id: watched.market.exchange for watched in markets}
    reasons: dict[str, str] = {}
    for stream in streams:
        exchange = exchange_by_id.get(stream.market_id)
        if exchange is None or now_us - stream.updated_us > SILENT_S * SECOND_US:
            continue
        if stream.state == "live":
            reasons.setdefault(exchange, "live, but has no trades yet")
        else:
            reasons[exchange] = stream.state + (f": {stream.last_error[:120]}" if stream.last_error else "")
    return tuple(f"{exchange} is {reason}" for exchange, reason in sorted(reasons.items()))


def remember(overview: Overview, seen: Mapping[Symbol, Seen]) -> dict[Symbol, Seen]:
    """The prices a viewer has seen after this overview."""
    shown = {card.symbol: Seen(card.price, card.trend) for card in overview.cards if card.price is not None}
    return {**seen, **shown}


def movers(view: Overview, most: int = 3) -> tuple[tuple[Card, ...], tuple[Card, ...]]:
    """The top gainers and the top losers of 24 hours, at most ``most`` each; no stale ones.

    Of each asset only the symbol on most exchanges, for it moves alike against several currencies.
    """
    by_base: dict[str, Card] = {}
    for card in sorted(view.cards, key=lambda card: -len(card.constituents)):
        if card.change is not None and card.state in (CardState.OK, CardState.DEGRADED):
            by_base.setdefault(card.symbol.base, card)
    by_change = sorted(by_base.values(), key=lambda card: card.change or 0.0)
    losers = tuple(card for card in by_change[:most] if (card.change or 0.0) < 0)
    gainers = tuple(card for card in by_change[::-1][:most] if (card.change or 0.0) > 0)
    return gainers, losers


def _average(members: Sequence[_Rows], now_us: int) -> Average | None:
    """The average of the last trades by the rules of stored averages, for symbols without a live one."""
    candidates = [candidate for rows in members if (candidate := rows.candidate(now_us)) is not None]
    return average_of(candidates).average


def _constituent(rows: _Rows, average: Average | None, now_us: int) -> Constituent:
    exchange, stream = rows.watched.market.exchange, rows.stream
    failure = ""
    if stream is not None and stream.state != "live":
        failure = f", stream {stream.state}" + (f" ({stream.last_error[:120]})" if stream.last_error else "")
    if rows.last is None:
        return Constituent(exchange, None, None, False, f"no trade in 24 h{failure}")
    age_us, price = rows.age_us(now_us), rows.last.price
    part = average.inputs.get(exchange) if average is not None else None
    if part is not None:
        return Constituent(exchange, price, age_us, part.used, f"{part.why}{failure}" if part.why else "")
    if age_us > silent_after_us(rows.rate.mean_interval_us if rows.rate is not None else None):
        return Constituent(
            exchange, price, age_us, False, f"no trade for {formats.duration(age_us)}{failure}"
        )
    return Constituent(exchange, price, age_us, True, "")


def _card(
    symbol: Symbol,
    stored: PairAverage | None,
    average: Average | None,
    constituents: tuple[Constituent, ...],
    members: Sequence[_Rows],
    sparkline: tuple[tuple[int, float], ...],
    seen: Seen | None,
    now_us: int,
) -> Card:
    used = [rows for rows, part in zip(members, constituents, strict=True) if part.used]
    newest = max(members, key=lambda rows: rows.last.ts_us if rows.last else 0)
    # With no live exchange the last known price is shown, marked stale.
    basis = used or [newest]
    trades = [rows.last for rows in basis if rows.last is not None]
    if not trades:
        return Card(symbol, CardState.EMPTY, "No trade in the last 24 h", constituents=constituents)
    last = max(trades, key=lambda trade: trade.ts_us)
    price = average.price if average is not None else last.price
    change = None
    high = low = volume = None
    span_us = 0
    if stats := [rows.day for rows in basis if rows.day is not None]:
        # Statistics that begin later than others are left out: their first prices are of another time.
        earliest_us = min(day.first_us for day in stats)
        stats = [day for day in stats if day.first_us - earliest_us <= DAY_US - WHOLE_DAY_US]
        span_us = now_us - max(day.first_us for day in stats)
        change = price / median(day.open for day in stats) - 1
        # A price read after the statistics may lie outside them.
        high = max(price, median(day.high for day in stats))
        low = min(price, median(day.low for day in stats))
        volume = sum(rows.day.quote_volume for rows in members if rows.day is not None)
    if stored is not None and stored.change_24h is not None:
        change, high, low, span_us = stored.change_24h, stored.high_24h, stored.low_24h, DAY_US
    trend, moved = trend_since(seen, price)
    # A stored average may also contain other quotes of the pair.
    state, message = _state(constituents, len(used) if stored is None else len(stored.average.exchanges))
    if stored is not None and not message:
        spread = f"± {formats.price_like(stored.average.confidence, price)}"
        message = f"Average of {len(stored.average.exchanges)} exchanges, {spread}"
    return Card(
        symbol=symbol,
        state=state,
        message=message,
        price=price,
        trend=trend,
        moved=moved,
        as_of_us=last.ts_us,
        change=change,
        span_us=DAY_US if span_us >= WHOLE_DAY_US else span_us,
        high=high,
        low=low,
        quote_volume=volume,
        constituents=constituents,
        sparkline=sparkline,
    )


def _state(constituents: tuple[Constituent, ...], used: int) -> tuple[CardState, str]:
    if not used:
        return CardState.STALE, "No exchange is live: last known price"
    state = CardState.OK if used >= MIN_EXCHANGES else CardState.DEGRADED
    excluded = [f"{part.exchange}, {part.reason}" for part in constituents if not part.used]
    if excluded:
        return state, f"{used} of {len(constituents)} exchanges. Excluded: {'; '.join(excluded)}"
    if state is CardState.OK:
        return state, ""
    only = formats.names([part.exchange for part in constituents])
    return CardState.DEGRADED, f"Only {only}: a reliable average needs {MIN_EXCHANGES} exchanges"


def _trades_per_s(rate: TradeRate, last: LastTrade | None, now_us: int) -> float:
    """The current rate of a market: the time since its last trade counts too."""
    if rate.trades < 2 or last is None:
        return 0.0
    silence_us = max(0, now_us - last.ts_us)
    return (rate.trades - 1) * SECOND_US / max(rate.span_us + silence_us, SECOND_US)
