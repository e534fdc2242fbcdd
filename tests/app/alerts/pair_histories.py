"""Histories of a pair, for tests: what is committed, cut into commits, at times gone by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st
from psycopg import AsyncConnection

from coinwatch.alerts import Firing, NewRule, Rule, Source
from coinwatch.alerts import conditions as c
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market, Symbol, Trade
from coinwatch.times import SECOND_US, now_us, to_datetime
from coinwatch.windows import Window
from tests.app.alerts.averaging import Averager
from warehouse.alerts.rules import add_rule
from warehouse.candles.store import store
from warehouse.markets import ensure_markets
from warehouse.ops.health import StreamHealth, StreamState, write_streams
from warehouse.trades.writer import TickWriter

M1 = Interval.M1
NAMES = ("binance", "kraken")
EDGES_US = (1, 300_000, 999_999, SECOND_US, 4_999_999, 5 * SECOND_US, 5_000_001, 12 * SECOND_US,
            60 * SECOND_US, 119_999_999, 120 * SECOND_US)  # fmt: skip
"""How long nothing happens: just before, at and just after the ends of windows, and between seconds."""
PRICES = st.integers(95, 105).map(float)

_numbers = itertools.count(1)


class Commit(msgspec.Struct, frozen=True):
    """Trades as (exchange, microseconds after the one before, price), so long after what was before."""

    after_us: int
    trades: list[tuple[str, int, float]]


class Average(msgspec.Struct, frozen=True):
    """At the next whole second."""

    price: float


class Close(msgspec.Struct, frozen=True):
    """Of the next minute that nothing has closed in."""

    exchange: str
    price: float


COMMITS = st.builds(
    Commit,
    st.sampled_from(EDGES_US),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from([0, 0, *EDGES_US[:3]]), PRICES),
        min_size=1,
        max_size=3,
    ),
)
HAPPENS = st.lists(
    COMMITS | COMMITS | st.builds(Average, PRICES) | st.builds(Close, st.sampled_from(NAMES), PRICES),
    min_size=1,
    max_size=16,
)


def is_of_closes(leaf: c.Condition) -> bool:
    return isinstance(leaf, c.Rsi | c.AverageCross) or getattr(leaf, "source", None) is Source.CANDLE


class Stage:
    """One pair of its own, on two exchanges."""

    def __init__(self, conn: AsyncConnection, symbol: Symbol, ids: dict[Market, int]) -> None:
        self.symbol = symbol
        self.conn = conn
        self.ids = ids
        self.at_us = now_us() - 50 * 60 * SECOND_US
        """Of what happened last."""
        self.close_us = M1.floor(self.at_us)
        """When the last candle closed."""
        self._trade_id = 0
        self._writer = TickWriter(conn, ids)
        self._averager = Averager(conn)

    @classmethod
    async def build(cls, conn: AsyncConnection) -> Stage:
        symbol = Symbol(f"P{next(_numbers)}", "USDT")
        markets = {Market(name, symbol): f"{name}:{symbol}" for name in NAMES}
        ids = dict(await ensure_markets(conn, markets))
        # Both streams are heard: that nothing trades for minutes is known.
        live = StreamHealth(state=StreamState.LIVE)
        await write_streams(conn, dict.fromkeys(ids.values(), live))
        return cls(conn, symbol, ids)

    def traded(self, commit: Commit) -> list[Trade]:
        """The trades of ``commit``, now."""
        self.at_us += commit.after_us
        trades = []
        for name, after_us, price in commit.trades:
            self.at_us += after_us
            self._trade_id += 1
            market = Market(name, self.symbol)
            trades.append(Trade(market, self._trade_id, self.at_us, price, 1.0, True))
        return trades

    async def commit(self, trades: Sequence[Trade], *, late: bool = False) -> None:
        await self._writer.write(trades, late=late)

    async def happen(self, event: Commit | Average | Close) -> None:
        if isinstance(event, Commit):
            await self.commit(self.traded(event))
        elif isinstance(event, Average):
            self.at_us += SECOND_US - self.at_us % SECOND_US
            pair = f"{self.symbol.base}_{self.symbol.quote}"
            await self._averager.store(self.at_us // SECOND_US, exchanges=NAMES, **{pair: event.price})
        else:
            await self.close(event)

    async def close(self, event: Close) -> None:
        market, at_us = Market(event.exchange, self.symbol), self.close_us
        self.close_us += M1.us
        price = event.price
        candle = Candle(
            market=market,
            interval=M1,
            open_ts_us=at_us,
            open=price,
            high=price,
            low=price,
            close=price,
            volume=1.0,
        )
        await store(self.conn, self.ids[market], M1, [candle], [Window(at_us, self.close_us)])

    async def watch(self, rules: Sequence[NewRule], made_us: int | None = None) -> list[Rule]:
        """``made_us``: as if they were made then."""
        made = [
            await add_rule(self.conn, msgspec.structs.replace(rule, symbol=self.symbol, client="past"))
            for rule in rules
        ]
        if made_us is not None:
            await self.conn.execute(
                "with made as (update alert_rules set created_at = %s where id = any(%s) returning id)"
                " select pg_notify('alert_rules', id::text) from made",
                (to_datetime(made_us), [rule.id for rule in made]),
            )
        return made

    async def claimed(self, rule: Rule) -> list[tuple[object, ...]]:
        """What was claimed of a rule, as ``received`` has it."""
        events = await self.conn.execute(
            "select round(extract(epoch from ts) * 1000000)::bigint, trade_id, exchange, price, value, late"
            " from alert_events where rule_id = %s order by event_id",
            (rule.id,),
        )
        return list(await events.fetchall())


def received(firings: Sequence[Firing]) -> list[tuple[object, ...]]:
    return [
        (firing.ts_us, firing.trade_id, firing.exchange, firing.price, firing.value, firing.late)
        for firing in firings
    ]
