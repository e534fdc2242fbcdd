"""A backtest of 24 hours on a busy market: python -m bench.backtest

Two million trades of one market on an embedded Postgres as shipped, for rules at prices that are reached
never, once and often, and for one that needs every trade.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from psycopg import AsyncConnection
from sqlalchemy import URL

from app.alerts.evaluation.backtest import preview
from coinwatch.alerts import Above, Change, Condition, Crosses, NewRule, Repeat, Terms, Way
from coinwatch.records import Market
from coinwatch.times import DAY_US, now_us, utc_day
from coinwatch.windows import Window
from warehouse.db.connect import connect
from warehouse.db.migrate import upgrade
from warehouse.db.partitions import ensure_tick_days
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.markets import ensure_markets

TRADES = 2_000_000
ROUNDS = 5
MARKET = Market.canonical("binance:BTC-USDT")
EVERY = Terms(repeat=Repeat.EVERY)
RULES: tuple[tuple[str, Condition, Terms], ...] = (
    ("never reached", Above(price=90_000.0), Terms()),
    ("reached once", Above(price=68_400.0), Terms()),
    ("crossed now and then", Crosses(price=67_000.0, way=Way.UP), Terms(repeat=Repeat.EVERY, hysteresis=0.1)),
    ("crossed all the time", Crosses(price=67_000.0, way=Way.UP), EVERY),
    ("needs every trade", Change(percent=1.0, within_s=900), EVERY),
)

# A slow wave, quicker ones on it, and noise.
_LOAD = """
insert into ticks (market_id, trade_id, ts, day, price, amount, taker_buys)
select %(market_id)s, n, ts, (ts at time zone 'UTC')::date,
    round((67000 * (1 + 0.02 * sin(n / 150000.0) + 0.003 * sin(n / 7000.0) + 0.0003 * sin(n / 211.0)
        + 0.0001 * random()))::numeric, 2)::float8,
    0.01 + random(), n %% 2 = 0
from (
    select n, to_timestamp(%(start_s)s + n * %(step_s)s) as ts from generate_series(1, %(trades)s) as n
) as numbered
"""


def main() -> None:
    """Load the trades, run each rule and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            upgrade(server.socket_url())
            asyncio.run(_run(server.socket_url()))
        finally:
            server.stop()


async def _run(url: URL) -> None:
    async with await connect(url, application_name="bench") as conn:
        window = await _load(conn)
        for name, condition, terms in RULES:
            asked = NewRule(
                symbol=MARKET.symbol, exchange=MARKET.exchange, condition=condition, terms=terms, typed="b"
            )
            runs = []
            for _ in range(1 if isinstance(condition, Change) else ROUNDS):
                started = time.perf_counter()
                result = await preview(conn, asked, window)
                runs.append(time.perf_counter() - started)
            print(
                f"{name:>20}: {statistics.median(runs):.2f} s, best {min(runs):.2f} s, "
                f"{len(result.firings):,} firings, {result.trades:,} trades"
            )


async def _load(conn: AsyncConnection) -> Window:
    end_us = now_us()
    await ensure_tick_days(conn, [utc_day(end_us - DAY_US), utc_day(end_us)])
    ids = await ensure_markets(conn, {MARKET: "BTCUSDT"})
    asked = {
        "market_id": ids[MARKET],
        "start_s": (end_us - DAY_US) / 1e6,
        "step_s": DAY_US / 1e6 / TRADES,
        "trades": TRADES,
    }
    await conn.execute(_LOAD, asked)
    await conn.execute("vacuum analyze ticks")
    return Window(end_us - DAY_US, end_us)


if __name__ == "__main__":
    main()
