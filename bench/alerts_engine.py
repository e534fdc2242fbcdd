"""The rule engine alone, without sockets or a database."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator

import psutil

from app.alerts.rules.engine import RuleEngine
from bench.walking import FIRST_PRICE
from coinwatch.alerts import Above, Below, Rule
from coinwatch.records import Market, Trade

WITHIN = 0.02
SUBSCRIBERS = 1_000
FIRED_AT_ONCE = 10_000
MANY_RULES = 1_000_000
ENGINE_TRADES = 100_000


def engine() -> None:
    """Measure the cost of a trade with few and many rules, and the memory of a rule."""
    costs = []
    for count in (1_000, MANY_RULES):
        gc.collect()
        before = psutil.Process().memory_info().rss
        engine, market = RuleEngine(), Market.canonical("binance:BTC-USDT")
        started = time.perf_counter()
        for rule in _rules(count, market):
            engine.put(rule, 0)
        loaded_s = time.perf_counter() - started
        weight = (psutil.Process().memory_info().rss - before) / count
        gc.freeze()
        costs.append(_cost_us(engine, market))
        print(
            f"{count:>9,} rules   {costs[-1]:.2f} us a trade, {weight:,.0f} bytes a rule, "
            f"put in {loaded_s:.1f} s"
        )
    print(f"ratio {costs[1] / costs[0]:.2f}")
    engine = RuleEngine()
    for rule in _rules(FIRED_AT_ONCE, market, at=FIRST_PRICE):
        engine.put(rule, 0)
    feed = engine.meet(1, market)
    started = time.perf_counter()
    engine.trade(feed, Trade(market, 1, 1, FIRST_PRICE, 1.0, True), 1, 1)
    fired = len(engine.drain())
    print(f"{fired:,} rules fired by one trade in {(time.perf_counter() - started) * 1e3:.0f} ms")


def _rules(count: int, market: Market, at: float | None = None) -> Iterator[Rule]:
    for number in range(count):
        away = WITHIN * (number + 1) / count
        side = Above if number % 2 else Below
        price = FIRST_PRICE * (1 + away if number % 2 else 1 - away)
        yield Rule(
            id=number + 1,
            symbol=market.symbol,
            condition=Above(price=at) if at else side(price=price),
            typed="btcusdt",
            client=f"c{number % SUBSCRIBERS}",
            created_at_us=number,
        )


def _cost_us(engine: RuleEngine, market: Market) -> float:
    """The cost in microseconds of a trade that fires nothing, as the median of five runs."""
    feed = engine.meet(1, market)
    trades = [
        Trade(market, number, number, FIRST_PRICE + number % 7 / 1e6, 1.0, True)
        for number in range(ENGINE_TRADES)
    ]
    runs = []
    for _ in range(5):
        started = time.perf_counter()
        for trade in trades:
            engine.trade(feed, trade, trade.trade_id, 0)
        runs.append((time.perf_counter() - started) / ENGINE_TRADES * 1e6)
    return statistics.median(runs)
