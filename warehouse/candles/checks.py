"""Daily comparison of our candles with the exchange's own daily candle."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any, Literal

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import from_datetime, to_datetime
from coinwatch.windows import Window

State = Literal["same", "repaired", "differs", "incomplete"]


class DayCheck(msgspec.Struct, frozen=True):
    """The comparison of a market for one UTC day."""

    market_id: int
    day: date
    state: State
    repaired: int = 0
    """Minutes that were corrected."""
    detail: dict[str, Any] = {}


_FOLD = """
select date_bin(%(step)s, open_ts, 'epoch') as bucket,
       (array_agg(open order by open_ts))[1],
       max(high),
       min(low),
       (array_agg(close order by open_ts desc))[1],
       sum(volume::numeric)::float8
from candles
where market_id = %(market_id)s and interval = '1m' and open_ts >= %(start)s and open_ts < %(end)s
group by bucket
order by bucket
"""


async def fold(
    conn: AsyncConnection[Any], market: Market, market_id: int, interval: Interval, window: Window
) -> list[Candle]:
    """The candle of ``window`` computed from the stored 1m candles now, not a stored rollup."""
    cursor = await conn.execute(
        _FOLD,
        {
            "step": timedelta(seconds=interval.seconds),
            "market_id": market_id,
            "start": to_datetime(window.start_us),
            "end": to_datetime(window.end_us),
        },
    )
    names = ("open", "high", "low", "close", "volume")
    return [
        Candle(
            market=market,
            interval=interval,
            open_ts_us=from_datetime(opened),
            **dict(zip(names, numbers, strict=True)),
        )
        for opened, *numbers in await cursor.fetchall()
    ]


_IS_COVERED = """
select exists (
    select from candle_coverage
    where market_id = %(market_id)s and interval = '1m' and covered @> tstzrange(%(start)s, %(end)s)
)
"""


async def is_covered(conn: AsyncConnection[Any], market_id: int, window: Window) -> bool:
    """Whether every 1m candle of ``window`` was verified: none is missing, none unavailable."""
    cursor = await conn.execute(
        _IS_COVERED,
        {
            "market_id": market_id,
            "start": to_datetime(window.start_us),
            "end": to_datetime(window.end_us),
        },
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


_STORE = """
insert into candle_checks as known (market_id, day, state, repaired, detail)
values (%(market_id)s, %(day)s, %(state)s, %(repaired)s, %(detail)s)
on conflict (market_id, day) do update set
    checked_at = now(), state = excluded.state, repaired = known.repaired + excluded.repaired,
    detail = excluded.detail
"""


async def store_check(conn: AsyncConnection[Any], check: DayCheck) -> None:
    """Store the result of a check; repaired minutes add up over several checks of the same day."""
    values = {**msgspec.structs.asdict(check), "detail": Jsonb(check.detail)}
    await conn.execute(_STORE, values)


async def price_steps(conn: AsyncConnection[Any], market_ids: Collection[int]) -> dict[int, float | None]:
    """The price step of each market; None where the exchange does not publish it."""
    cursor = await conn.execute("select id, price_step from markets where id = any(%s)", (list(market_ids),))
    return dict(await cursor.fetchall())
