"""Reads for charts and the overview: one statement each, bounded. Each takes a SQLAlchemy connection.

A price series is the stored candles, completed from ``ticks`` after the last stored candle, so that charts
and statistics include the last trade. At most ``TAIL_US`` of ticks is read: where no candles are stored,
pages show that much and state it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import msgspec
from sqlalchemy import Connection, TextClause, text

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Symbol
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, from_datetime, to_datetime, utc_day
from coinwatch.windows import Window

TAIL_US = 6 * 3_600 * SECOND_US
"""How far back candles are computed from ticks where none are stored."""

RATE_TRADES = 200
"""The usual rate of a market is that of at most this many trades of the last hour."""

MOST_CANDLES = 6_500


class WatchedMarket(msgspec.Struct, frozen=True):
    """A market that is streamed or configured."""

    market_id: int
    market: Market


class LastTrade(msgspec.Struct, frozen=True):
    market_id: int
    ts_us: int
    price: float


class DayStats(msgspec.Struct, frozen=True):
    """Statistics of a market over the requested window, as far as it is stored."""

    market_id: int
    first_us: int
    """When the first minute with a trade opened: later than the window's start where history is short."""
    open: float
    high: float
    low: float
    volume: float
    """In the base asset."""
    quote_volume: float
    """In the quote asset; estimated from closes where the exchange does not report it."""


class TradeRate(msgspec.Struct, frozen=True):
    """The rate of trades of a market, from its latest trades."""

    market_id: int
    trades: int
    span_us: int
    """From the first to the last of them."""

    @property
    def mean_interval_us(self) -> int | None:
        """From one trade to the next; None with fewer than two trades."""
        return self.span_us // (self.trades - 1) if self.trades > 1 else None


class StreamState(msgspec.Struct, frozen=True):
    market_id: int
    state: str
    last_error: str | None
    updated_us: int


# The minutes of several markets: stored candles, then the tail from ticks.
# Parameters: ids, since, tail_from, tail_day.
_MINUTES = """
with asked as (select unnest(cast(:ids as int[])) as id),
stored_end as (
    select id, greatest(cast(:tail_from as timestamptz), (
        select open_ts + interval '1 minute' from candles
        where market_id = id and interval = '1m' and open_ts >= :since order by open_ts desc limit 1
    )) as ts
    from asked
),
minutes as (
    select market_id, open_ts, open, high, low, close, volume,
        coalesce(quote_volume, volume * close) as quote_volume
    from candles
    where market_id = any(cast(:ids as int[])) and interval = '1m' and open_ts >= :since
    union all
    select t.*
    from stored_end
    cross join lateral (
        select market_id, date_bin('1 minute', ts, 'epoch'), (array_agg(price order by ts, trade_id))[1],
            max(price), min(price), (array_agg(price order by ts desc, trade_id desc))[1], sum(amount),
            sum(price * amount)
        from ticks
        where market_id = stored_end.id and day >= :tail_day and ts >= stored_end.ts
        group by 1, 2
    ) t
)
"""


def _of_minutes(query: str) -> TextClause:
    """``query`` over the relation ``minutes``."""
    return text(_MINUTES + query)


_WATCHED_MARKETS = text("""
select id, exchange, base, quote from markets
where id in (select market_id from stream_health)
    or (exchange, symbol) in (select * from unnest(cast(:exchanges as text[]), cast(:symbols as text[])))
order by symbol, exchange limit 2000""")

_LATEST_TRADES = text("""
select id, t.ts, t.price
from unnest(cast(:ids as int[])) as id
cross join lateral (
    select ts, price from ticks
    where market_id = id and day >= :day and ts >= :since order by ts desc, trade_id desc limit 1
) t""")

_TRADE_RATES = text("""
select id, t.trades, t.span
from unnest(cast(:ids as int[])) as id
cross join lateral (
    select count(*) as trades, coalesce(max(ts) - min(ts), interval '0') as span
    from (
        select ts from ticks
        where market_id = id and day >= :day and ts >= :since order by ts desc limit :most
    ) latest
) t""")

_DAY_STATS = _of_minutes("""
select market_id, min(open_ts) as first, (array_agg(open order by open_ts))[1] as open,
    max(high) as high, min(low) as low, sum(volume) as volume, sum(quote_volume) as quote_volume
from minutes group by market_id""")

_SPARKLINES = _of_minutes("""
select base, quote, ts, percentile_cont(0.5) within group (order by price) as price
from (
    select market_id, date_bin(make_interval(secs => :step_s), open_ts, :since) as ts, avg(close) as price
    from minutes group by 1, 2
) steps
join markets on markets.id = market_id
group by base, quote, ts order by base, quote, ts""")

_MARKET_SPARKLINES = _of_minutes("""
select market_id, date_bin(make_interval(secs => :step_s), open_ts, :since) as ts,
    (array_agg(close order by open_ts desc))[1] as price
from minutes group by 1, 2 order by 1, 2""")

# Stored candles of the interval, but for the spans whose minutes changed since and the end that is still
# to be rolled up: those are made from their minutes, by one look into the index a span (`offset 0` keeps
# Postgres from reading a year of minutes instead). Parameters beside those of the minutes: id, interval,
# until, length_s.
_CANDLES = text("""
with step as (select make_interval(secs => :length_s) as length),
stored_end as (
    select greatest(cast(:tail_from as timestamptz), (
        select open_ts + interval '1 minute' from candles
        where market_id = :id and interval = '1m' and open_ts >= :since order by open_ts desc limit 1
    )) as ts
),
changed as (
    select unnest(coalesce(
        (select due from candle_rollups where market_id = :id and interval = :interval),
        case when :interval = '1m' then '{}' else tstzmultirange(tstzrange(null, null)) end
    ) * tstzmultirange(tstzrange(:since, :until))) as span
    union all
    select tstzrange(ts, :until) from stored_end where :interval <> '1m' and ts < :until
),
again as (
    select coalesce(range_agg(tstzrange(
        date_bin(length, lower(span), 'epoch'),
        date_bin(length, upper(span) - interval '1 us', 'epoch') + length
    )), '{}') as spans
    from changed, step where not isempty(span)
),
rolled as (
    select open_ts as ts, open, high, low, close, volume,
        coalesce(quote_volume, volume * close) as quote_volume
    from candles, again
    where market_id = :id and interval = :interval and open_ts >= :since and open_ts < :until
        and not open_ts <@ spans
),
minutes as (
    select part.*
    from (select unnest(spans) as span from again) parts
    cross join lateral (
        select open_ts, open, high, low, close, volume,
            coalesce(quote_volume, volume * close) as quote_volume
        from candles
        where market_id = :id and interval = '1m' and open_ts >= lower(span) and open_ts < upper(span)
            and open_ts >= :since and open_ts < :until
        offset 0
    ) part
    union all
    select date_bin('1 minute', ts, 'epoch'), (array_agg(price order by ts, trade_id))[1],
        max(price), min(price), (array_agg(price order by ts desc, trade_id desc))[1], sum(amount),
        sum(price * amount)
    from ticks
    where market_id = :id and day >= :tail_day and ts >= (select ts from stored_end) and ts < :until
    group by 1
)
select * from rolled
union all
select date_bin(length, open_ts, 'epoch'), (array_agg(open order by open_ts))[1], max(high), min(low),
    (array_agg(close order by open_ts desc))[1], sum(volume), sum(quote_volume)
from minutes, step group by 1
order by 1""")

_CANDLE_GAPS = text("""
with known as (
    select coalesce((
        select covered from candle_coverage where market_id = :id and interval = '1m'
    ), '{}') as covered
),
streamed as (
    select date_bin('1 minute', (
        select ts from ticks
        where market_id = :id and day >= :tail_day
            and ts >= greatest(cast(:tail_from as timestamptz), upper(covered))
        order by ts limit 1
    ), 'epoch') as since
    from known
)
select lower(gap) as since, upper(gap) as until
from known, streamed, unnest(
    tstzmultirange(tstzrange(:since, :until)) - covered
    - case when since is null then '{}'::tstzmultirange else tstzmultirange(tstzrange(since, null)) end
) as gap
order by 1 limit 1000""")

_STREAM_STATES = text("""
select market_id, state, last_error, updated_at from stream_health limit 2000""")


def watched_markets(conn: Connection, configured: Collection[Market]) -> tuple[WatchedMarket, ...]:
    """The ``configured`` markets that the warehouse knows and all that stream, by symbol and exchange."""
    rows = conn.execute(
        _WATCHED_MARKETS,
        {
            "exchanges": [market.exchange for market in configured],
            "symbols": [str(market.symbol) for market in configured],
        },
    )
    return tuple(WatchedMarket(row.id, Market(row.exchange, Symbol(row.base, row.quote))) for row in rows)


def latest_trades(conn: Connection, market_ids: Sequence[int], since_us: int) -> tuple[LastTrade, ...]:
    """The last trade of each market by the exchange's clock; none where there was none since ``since_us``."""
    rows = conn.execute(
        _LATEST_TRADES, {"ids": list(market_ids), "since": to_datetime(since_us), "day": utc_day(since_us)}
    )
    return tuple(LastTrade(row.id, from_datetime(row.ts), row.price) for row in rows)


def trade_rates(conn: Connection, market_ids: Sequence[int], now_us: int) -> tuple[TradeRate, ...]:
    """The recent rate of each market: its last ``RATE_TRADES`` trades within the last hour."""
    since_us = now_us - 3_600 * SECOND_US
    rows = conn.execute(
        _TRADE_RATES,
        {
            "ids": list(market_ids),
            "since": to_datetime(since_us),
            "day": utc_day(since_us),
            "most": RATE_TRADES,
        },
    )
    return tuple(TradeRate(row.id, row.trades, row.span // timedelta(microseconds=1)) for row in rows)


def day_stats(
    conn: Connection, market_ids: Sequence[int], now_us: int, tail_us: int = TAIL_US
) -> tuple[DayStats, ...]:
    """First price, high, low and volume of each market over the last 24 hours, as far as stored."""
    rows = conn.execute(_DAY_STATS, _minutes_parameters(market_ids, now_us - DAY_US, now_us, tail_us))
    return tuple(
        DayStats(
            market_id=row.market_id,
            first_us=from_datetime(row.first),
            open=row.open,
            high=row.high,
            low=row.low,
            volume=row.volume,
            quote_volume=row.quote_volume,
        )
        for row in rows
    )


def sparklines(
    conn: Connection, market_ids: Sequence[int], now_us: int, points: int = 72
) -> dict[Symbol, tuple[tuple[int, float], ...]]:
    """Per symbol the last 24 hours as about ``points`` pairs (start of the step in microseconds, price).

    A price is the median over the markets of their mean close within the step.
    """
    parameters = _minutes_parameters(market_ids, now_us - DAY_US, now_us)
    rows = conn.execute(_SPARKLINES, parameters | {"step_s": DAY_US / points / SECOND_US})
    lines: dict[Symbol, list[tuple[int, float]]] = {}
    for row in rows:
        lines.setdefault(Symbol(row.base, row.quote), []).append((from_datetime(row.ts), row.price))
    return {symbol: tuple(line) for symbol, line in lines.items()}


def market_sparklines(
    conn: Connection, market_ids: Sequence[int], now_us: int, points: int = 48
) -> dict[int, tuple[float, ...]]:
    """Per market the closes of the last 24 hours, about ``points`` of them, oldest first."""
    parameters = _minutes_parameters(market_ids, now_us - DAY_US, now_us)
    lines: dict[int, list[float]] = {}
    for row in conn.execute(_MARKET_SPARKLINES, parameters | {"step_s": DAY_US / points / SECOND_US}):
        lines.setdefault(row.market_id, []).append(row.price)
    return {market_id: tuple(line) for market_id, line in lines.items()}


def candles(
    conn: Connection, watched: WatchedMarket, interval: Interval, window: Window, now_us: int
) -> tuple[Candle, ...]:
    """Candles of ``interval`` that open within ``window``, oldest first; the last may be incomplete.

    Buckets without a trade have no candle. Raises ValueError when the window could hold more than
    ``MOST_CANDLES``.
    """
    if window.length_us > MOST_CANDLES * interval.us:
        raise ValueError(f"{window} holds more than {MOST_CANDLES} candles of {interval}")
    parameters = _minutes_parameters([watched.market_id], interval.ceil(window.start_us), now_us)
    rows = conn.execute(
        _CANDLES,
        parameters
        | {
            "id": watched.market_id,
            "interval": interval.value,
            "until": to_datetime(window.end_us),
            "length_s": interval.seconds,
        },
    )
    return tuple(
        Candle(
            market=watched.market,
            interval=interval,
            open_ts_us=from_datetime(row.ts),
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            volume=row.volume,
            quote_volume=row.quote_volume,
        )
        for row in rows
    )


def candle_gaps(conn: Connection, market_id: int, window: Window, now_us: int) -> tuple[Window, ...]:
    """The parts of ``window`` without verified candles or ticks.

    Everything from the first tick after the verified part on counts as known.
    """
    rows = conn.execute(
        _CANDLE_GAPS,
        {
            "id": market_id,
            "since": to_datetime(window.start_us),
            "until": to_datetime(window.end_us),
            "tail_from": to_datetime(now_us - TAIL_US),
            "tail_day": utc_day(now_us - TAIL_US),
        },
    )
    return tuple(Window(from_datetime(row.since), from_datetime(row.until)) for row in rows)


def stream_states(conn: Connection) -> tuple[StreamState, ...]:
    """The state of each market's stream, as reported by the ingest daemons."""
    return tuple(
        StreamState(row.market_id, row.state, row.last_error, from_datetime(row.updated_at))
        for row in conn.execute(_STREAM_STATES)
    )


def _minutes_parameters(
    market_ids: Sequence[int], since_us: int, now_us: int, tail_us: int = TAIL_US
) -> dict[str, object]:
    since_us = -(-since_us // MINUTE_US) * MINUTE_US
    tail_from_us = max(since_us, now_us - tail_us)
    return {
        "ids": list(market_ids),
        "since": to_datetime(since_us),
        "tail_from": to_datetime(tail_from_us),
        "tail_day": utc_day(tail_from_us),
    }
