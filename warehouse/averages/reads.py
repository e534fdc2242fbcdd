"""What the Averages page reads. Each takes a SQLAlchemy connection and plain values."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, text

from coinwatch.averaging.average import Average
from coinwatch.records import Symbol
from coinwatch.times import MINUTE_US, SECOND_US, from_datetime, to_datetime
from coinwatch.windows import Window
from warehouse.averages.store import PairAverage

THINNED_US = MINUTE_US + 30 * SECOND_US
"""Averages older than a week are a minute apart; one that is further from a moment does not speak for it."""

MOST_SAMPLES = 2_000

_COLUMNS = "ts, price, confidence, method, state, exchanges, inputs, change_24h, high_24h, low_24h"

# One index probe a step: a year of seconds costs no more than its samples.
_SAMPLES = text(f"""
select sample.*
from generate_series(cast(:since as timestamptz), cast(:last as timestamptz), make_interval(secs => :step_s))
    as step(ts)
cross join lateral (
    select {_COLUMNS} from price_averages
    where base = :base and quote = :quote and ts >= :since and ts < :until
        and ts >= step.ts and ts < step.ts + make_interval(secs => :step_s)
    order by ts desc limit 1
) sample
order by ts""")  # noqa: S608 -- built from constants

_AT = text(f"""
select {_COLUMNS} from price_averages
where base = :base and quote = :quote and ts > :since and ts <= :at
order by ts desc limit 1""")  # noqa: S608 -- built from constants


def average_samples(
    conn: Connection, symbol: Symbol, window: Window, step_us: int
) -> tuple[PairAverage, ...]:
    """The last average of each step of ``window``, oldest first; none where none was computed.

    Raises ValueError when the window has more than ``MOST_SAMPLES`` steps.
    """
    if window.length_us > MOST_SAMPLES * step_us:
        raise ValueError(f"{window} holds more than {MOST_SAMPLES} steps of {step_us} µs")
    rows = conn.execute(
        _SAMPLES,
        _named(symbol)
        | {
            "since": to_datetime(window.start_us),
            "last": to_datetime(window.end_us - 1),
            "until": to_datetime(window.end_us),
            "step_s": step_us / SECOND_US,
        },
    )
    return tuple(_pair(symbol, row) for row in rows)


def average_at(
    conn: Connection, symbol: Symbol, at_us: int, patience_us: int = THINNED_US
) -> tuple[PairAverage, ...]:
    """The newest average at ``at_us``, alone; nothing without one in the ``patience_us`` before."""
    window = {"since": to_datetime(at_us - patience_us), "at": to_datetime(at_us)}
    rows = conn.execute(_AT, _named(symbol) | window)
    return tuple(_pair(symbol, row) for row in rows)


def _named(symbol: Symbol) -> dict[str, object]:
    return {"base": symbol.base, "quote": symbol.quote}


def _pair(symbol: Symbol, row: Row[Any]) -> PairAverage:
    return PairAverage(
        symbol=symbol,
        ts_us=from_datetime(row.ts),
        average=msgspec.convert(dict(row._mapping), Average),
        change_24h=row.change_24h,
        high_24h=row.high_24h,
        low_24h=row.low_24h,
    )
