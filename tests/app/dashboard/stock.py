"""A warehouse with rows in it, made by the server itself so that a test can have a day of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import URL, Engine, text

from coinwatch.records import Market
from coinwatch.times import DAY_US, MINUTE_US, SECOND_US, to_datetime, utc_day
from coinwatch.windows import Window
from warehouse.db.connect import connect
from warehouse.db.partitions import ensure_average_days, ensure_candle_months, ensure_tick_days

PRICES = {
    "binance:BTC-USDT": 67_000.0,
    "coinbase:BTC-USDT": 67_010.0,
    "kraken:BTC-USDT": 67_020.0,
    "binance:ETH-USDT": 3_200.0,
    "kraken:ETH-USDT": 3_201.0,
}
BTC_PRICES = {name.partition(":")[0]: price for name, price in PRICES.items() if "BTC" in name}


@dataclass
class Stock:
    """Fills one database; prices are a wave around a base price of each market."""

    url: URL
    engine: Engine
    now_us: int

    @classmethod
    def open(cls, url: URL, now_us: int) -> Stock:
        """Make the partitions around ``now_us``."""
        days = [utc_day(now_us + offset * DAY_US) for offset in (-2, -1, 0, 1)]

        async def partitions() -> None:
            async with await connect(url, application_name="test") as conn:
                await ensure_tick_days(conn, days)
                await ensure_average_days(conn, days)
                await ensure_candle_months(conn, [*days, utc_day(now_us - 40 * DAY_US)])

        asyncio.run(partitions())
        return cls(url, sqlalchemy.create_engine(url), now_us)

    def markets(self, names: Sequence[str], *, streaming: bool = True) -> dict[str, int]:
        """Know these markets; returns their ids."""
        with self.engine.begin() as conn:
            ids: dict[str, int] = {}
            for name in names:
                market = Market.canonical(name)
                ids[name] = conn.execute(
                    text("""insert into markets (exchange, symbol, base, quote, native)
                        values (:exchange, :symbol, :base, :quote, :symbol) returning id"""),
                    {
                        "exchange": market.exchange,
                        "symbol": str(market.symbol),
                        "base": market.symbol.base,
                        "quote": market.symbol.quote,
                    },
                ).scalar_one()
                if streaming:
                    conn.execute(
                        text("insert into stream_health (market_id, state) values (:id, 'live')"),
                        {"id": ids[name]},
                    )
        return ids

    def candles(self, market_id: int, base: float, window: Window, *, covered: bool = True) -> None:
        """One candle for every minute that opens in ``window``, verified by default."""
        with self.engine.begin() as conn:
            conn.execute(
                text("""
                    insert into candles (market_id, interval, open_ts, open, high, low, close, volume)
                    select :id, '1m', ts, open, greatest(open, close) * 1.0005, least(open, close) * 0.9995,
                        close, 2
                    from (
                        select ts, :base * (1 + 0.01 * sin(n / 60.0)) as open,
                            :base * (1 + 0.01 * sin((n + 1) / 60.0)) as close
                        from generate_series(cast(:since as timestamptz),
                                cast(:until as timestamptz) - interval '1 minute', '1 minute')
                            with ordinality as minutes(ts, n)
                    ) wave"""),
                {"id": market_id, "base": base, **_span(window)},
            )
            if covered:
                conn.execute(
                    text("""
                        insert into candle_coverage (market_id, interval, covered)
                        values (:id, '1m', tstzmultirange(tstzrange(:since, :until)))
                        on conflict (market_id, interval)
                        do update set covered = candle_coverage.covered + excluded.covered"""),
                    {"id": market_id, **_span(window)},
                )

    def ticks(self, market_id: int, rows: Sequence[tuple[int, float, float]]) -> None:
        """Trades as (microseconds, price, amount); ids follow the order given."""
        with self.engine.begin() as conn:
            for ts_us, price, amount in rows:
                conn.execute(
                    text("""
                        insert into ticks (market_id, trade_id, ts, day, price, amount, taker_buys)
                        select :id, coalesce(max(trade_id), 0) + 1, :ts, :day, :price, :amount, true
                        from ticks where market_id = :id"""),
                    {
                        "id": market_id,
                        "ts": to_datetime(ts_us),
                        "day": utc_day(ts_us),
                        "price": price,
                        "amount": amount,
                    },
                )

    def averages(self, symbol: str, prices: Mapping[str, float], window: Window, step_s: int = 1) -> None:
        """An average every ``step_s`` of exchanges a little apart; the last of them always left out."""
        base, _, quote = symbol.partition("-")
        with self.engine.begin() as conn:
            conn.execute(
                text("""
                    insert into price_averages
                        (ts, base, quote, price, confidence, change_24h, high_24h, low_24h, method, state,
                         exchanges, inputs)
                    select ts, :base, :quote, percentile_cont(0.5) within group (order by price)
                            filter (where used), max(center) * 2e-4, 0.0123, max(center) * 1.02,
                        max(center) * 0.97, 'median', case when count(*) > 3 then 'ok' else 'degraded' end,
                        array_agg(exchange order by exchange) filter (where used),
                        jsonb_object_agg(exchange, jsonb_build_object(
                            'price', price, 'ts', ts - interval '300 ms', 'age_s', 0.3, 'weight',
                            case when used then 1.0 / (total - 1) else 0 end, 'used', used, 'why',
                            case when not used then 'its last trade is 75 s old' end))
                    from (
                        select ts, exchange, center, number < total as used, total,
                            center * (1 + 0.01 * sin(n / 700.0))
                                * (1 + 2e-4 * sin(n / 50.0 + number)) as price
                        from generate_series(cast(:since as timestamptz),
                                cast(:until as timestamptz) - interval '1 second',
                                make_interval(secs => :step_s)) with ordinality as seconds(ts, n)
                        cross join (
                            select *, count(*) over () as total from unnest(
                                cast(:exchanges as text[]), cast(:prices as float8[])
                            ) with ordinality as given(exchange, center, number)
                        ) given
                    ) traded
                    group by ts"""),
                {
                    "base": base,
                    "quote": quote,
                    "step_s": step_s,
                    "exchanges": list(prices),
                    "prices": list(prices.values()),
                    **_span(window),
                },
            )

    def day(self, prices: Mapping[str, float], *, age_s: float = 0.2) -> dict[str, int]:
        """Markets with a day of candles until five minutes ago, then trades, the last ``age_s`` ago."""
        ids = self.markets(list(prices))
        until_us = self.now_us // MINUTE_US * MINUTE_US - 5 * MINUTE_US
        for name, price in prices.items():
            self.candles(ids[name], price, Window(until_us - DAY_US, until_us))
            trades = [(until_us + n * 20 * SECOND_US, price * (1 + n / 1e4), 0.5) for n in range(12)]
            last_us = self.now_us - round(age_s * SECOND_US)
            self.ticks(
                ids[name], [trade for trade in trades if trade[0] < last_us] + [(last_us, price * 1.002, 0.5)]
            )
        self.heard(age_s)
        return ids

    def heard(self, age_s: float = 0.0) -> None:
        """Let the daemon have written ``age_s`` ago, of every stream."""
        with self.engine.begin() as conn:
            conn.execute(
                text("update stream_health set updated_at = now() - make_interval(secs => :age_s)"),
                {"age_s": age_s},
            )

    def close(self) -> None:
        self.engine.dispose()


def _span(window: Window) -> dict[str, object]:
    return {"since": to_datetime(window.start_us), "until": to_datetime(window.end_us)}


@contextmanager
def unreachable(url: URL) -> Iterator[None]:
    """Within, the database takes no connections, and those there were have ended."""
    server = sqlalchemy.create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as conn:
        conn.execute(text(f'alter database "{url.database}" allow_connections false'))
        conn.execute(
            text(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = :name and backend_type = 'client backend'"
            ),
            {"name": url.database},
        )
        try:
            yield
        finally:
            conn.execute(text(f'alter database "{url.database}" allow_connections true'))
    server.dispose()
