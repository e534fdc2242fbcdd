"""Watches side by side on one endpoint, each on a pair of its own, and what they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from psycopg import AsyncConnection
from sqlalchemy import URL

from coinwatch.intervals import Interval
from coinwatch.records import Candle, Market
from coinwatch.times import SECOND_US, now_us
from coinwatch.windows import Window
from tests.app.alerts.averaging import Averager
from tests.app.alerts.conftest import Client, Endpoint, Exchange
from warehouse.candles.store import store
from warehouse.db.connect import connect
from warehouse.markets import ensure_markets
from warehouse.trades.writer import TickWriter

EXCHANGES = ("binance", "kraken", "coinbase")
END = "END-USDT"
M1 = Interval.M1
INDICATORS = ("rsi", "ma_cross")
ALL_FIELDS = ("price", "exchange", "value", "message")

WITH_AVERAGE = -1
"""The age of a trade that comes right after an average."""

Step = tuple[Any, ...]
"""What happens: ``("binance", 100.0)`` a trade, with its age in seconds, if any, as a third, and of several
prices a commit of several; ``("average", 100.0)``; ``("close", 100.0)``: of a minute on
binance, or the exchange of a third."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One watch, what happens before and after it is made, and the prices of its alerts, in order."""

    name: str
    wish: dict[str, Any]
    then: Sequence[Step]
    received: Sequence[float]
    before: Sequence[Step] = ()
    on: str = ""
    """Its exchange; empty: any."""
    values: Sequence[float] | None = None
    exchanges: Sequence[str | None] | None = None
    base: str = ""
    """The asset that its pair is of; empty: one of its own."""


class CaseResult(msgspec.Struct):
    rule: dict[str, Any]
    alerts: list[dict[str, Any]]
    fired: list[dict[str, Any]]
    """By a preview."""


class Stage:
    """Where cases are played: all that an endpoint hears of is committed here."""

    def __init__(self, conn: AsyncConnection, ids: dict[Market, int], client: Client) -> None:
        self._conn = conn
        self._ids = ids
        self._client = client
        self._exchange = Exchange(TickWriter(conn, ids))
        self._second = now_us() // SECOND_US - 200
        self._candle_us = M1.floor(now_us()) - 100 * M1.us
        """Of the next candle that closes: they are stored at times gone by."""
        self.alerts: list[dict[str, Any]] = []

    async def play(self, cases: Sequence[Case]) -> dict[str, CaseResult]:
        """What each case was sent, by its name, and what what a preview of it returns."""
        with_closes = any(step[0] == "close" for case in cases for step in case.then)
        await self._close(END, 1)
        for number, case in enumerate(cases):
            for step in case.before:
                await self.do(_pair(number, case), step)
        asked = [self._asked(number, case) for number, case in enumerate(cases)]
        since_us = [self._since_us(case) for case in cases]
        rules = [await self.ask(cmd="watch", **wish) for wish in asked]
        assert [rule["type"] for rule in rules] == ["ack"] * len(cases), rules
        closing = {"type": "above", "price": 2, "source": "candle", "interval": "1m"}
        last = await self.ask(cmd="watch", symbol=END, condition=closing)
        await self.all_was_heard()
        for number, case in enumerate(cases):
            for step in case.then:
                await self.do(_pair(number, case), step)
        if with_closes:
            await self._close(END, 2)
            await self.until_alerted(last)
        await self.all_was_heard()
        received = {}
        for case, wish, rule, since in zip(cases, asked, rules, since_us, strict=True):
            preview = await self.ask(cmd="preview", since=since / SECOND_US, **wish)
            mine = [alert for alert in self.alerts if alert["rule_id"] == rule["rule_id"]]
            received[case.name] = CaseResult(rule, mine, preview["fired"])
        return received

    def _asked(self, number: int, case: Case) -> dict[str, Any]:
        pair = _pair(number, case)
        return {"symbol": f"{case.on}:{pair}" if case.on else pair, **case.wish}

    async def do(self, pair: str, step: Step) -> None:
        kind, price = step[0], step[1]
        if kind == "average":
            self._second += 1
            await Averager(self._conn).store(self._second, **{pair.replace("-", "_"): price})
        elif kind == "close":
            await self._close(pair, price, *step[2:])
        else:
            prices = price if isinstance(price, tuple) else (price,)
            age_s = step[2] if len(step) > 2 else 0
            if age_s == WITH_AVERAGE:
                age_s = now_us() / SECOND_US - self._second - 0.5
            await self._exchange.trade(f"{kind}:{pair}", *prices, age_s=age_s)

    async def _close(self, pair: str, price: float, exchange: str = "binance") -> None:
        market = Market.canonical(f"{exchange}:{pair}")
        candle = Candle(
            market=market,
            interval=M1,
            open_ts_us=self._candle_us,
            open=price,
            high=price,
            low=price,
            close=price,
            volume=1.0,
        )
        self._candle_us += M1.us
        window = Window(candle.open_ts_us, self._candle_us)
        await store(self._conn, self._ids[market], M1, [candle], [window])

    def _since_us(self, case: Case) -> int:
        """A preview begins where live does; averages and candles are played at times gone by."""
        kinds = {step[0] for step in case.then}
        if "average" in kinds:
            return (self._second + 1) * SECOND_US
        if "close" in kinds:
            return self._candle_us + 1
        ages_s = [step[2] + 60 for step in case.then if len(step) > 2]
        return now_us() - round(max(ages_s, default=0) * SECOND_US)

    async def all_was_heard(self) -> None:
        """Commits are taken in their order: a watch made now is sent after all that was committed before."""
        last = await self.ask(cmd="watch", symbol=END, price=1)
        await self._exchange.trade(f"binance:{END}", 2)
        await self.until_alerted(last)

    async def until_alerted(self, rule: dict[str, Any]) -> None:
        while not any(alert["rule_id"] == rule["rule_id"] for alert in self.alerts):
            self.alerts.append(await self._client.read())

    async def ask(self, **command: Any) -> dict[str, Any]:
        """The answer to ``command``; alerts that come before it are kept."""
        answer = await self._client.ask(**command)
        while answer["type"] == "alert":
            self.alerts.append(answer)
            answer = await self._client.read()
        return answer


@asynccontextmanager
async def staged(database: URL, start: Callable[[], Any], cases: Sequence[Case]) -> AsyncIterator[Stage]:
    """A stage, and an endpoint that knows the pairs of ``cases``."""
    pairs = {END, *(_pair(number, case) for number, case in enumerate(cases))}
    markets = [Market.canonical(f"{exchange}:{pair}") for pair in pairs for exchange in EXCHANGES]
    async with await connect(database, application_name="test stage") as conn:
        ids = await ensure_markets(conn, {market: str(market) for market in markets})
        endpoint: Endpoint = await start()
        async with endpoint.client() as client:
            yield Stage(conn, ids, client)


def wrong(cases: Sequence[Case], received: dict[str, CaseResult]) -> dict[str, Any]:
    """What was sent live but not due, or differs from a preview: prices, exchanges, values, messages."""
    faults: dict[str, Any] = {}
    for case in cases:
        result = received[case.name]
        if (prices := [alert["price"] for alert in result.alerts]) != list(case.received):
            faults[case.name] = f"sent {prices}, due {list(case.received)}"
        for field, due in (("value", case.values), ("exchange", case.exchanges)):
            if due is not None and (was := [alert.get(field) for alert in result.alerts]) != list(due):
                faults[f"{case.name}: {field}"] = f"sent {was}, due {list(due)}"
        # An indicator is reported with the last trade's price, which here is of another time than its candle.
        fields = (
            ("exchange", "value") if case.wish.get("condition", {}).get("type") in INDICATORS else ALL_FIELDS
        )
        live, looked_back = (
            [[alert.get(field) for field in fields] for alert in several]
            for several in (result.alerts, result.fired)
        )
        if live != looked_back:
            faults[f"{case.name}: preview"] = f"sent {live}, preview {looked_back}"
    return faults


def _pair(number: int, case: Case) -> str:
    return f"{case.base or f'C{number:02}'}-USDT"
