"""Watches side by side on one endpoint, each on a pair of its own, and what they are told."""

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
binance, or where a third says."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One watch, what happens before and after it is made, and the prices that it must tell, in order."""

    name: str
    wish: dict[str, Any]
    then: Sequence[Step]
    told: Sequence[float]
    before: Sequence[Step] = ()
    on: str = ""
    """Its exchange; empty: any."""
    values: Sequence[float] | None = None
    exchanges: Sequence[str | None] | None = None
    base: str = ""
    """The asset that its pair is of; empty: one of its own."""


class Told(msgspec.Struct):
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

    async def play(self, cases: Sequence[Case]) -> dict[str, Told]:
        """What each case was told, by its name, and what a preview since it was made would tell."""
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
            await self.until_told(last)
        await self.all_was_heard()
        told = {}
        for case, wish, rule, since in zip(cases, asked, rules, since_us, strict=True):
            preview = await self.ask(cmd="preview", since=since / SECOND_US, **wish)
            mine = [alert for alert in self.alerts if alert["rule_id"] == rule["rule_id"]]
            told[case.name] = Told(rule, mine, preview["fired"])
        return told

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
        """Commits are taken in their order: a watch made now is told after all that was committed before."""
        last = await self.ask(cmd="watch", symbol=END, price=1)
        await self._exchange.trade(f"binance:{END}", 2)
        await self.until_told(last)

    async def until_told(self, rule: dict[str, Any]) -> None:
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


def wrong(cases: Sequence[Case], told: dict[str, Told]) -> dict[str, Any]:
    """What was told live and was not due, or is not what a preview tells: prices, places, numbers, words."""
    found: dict[str, Any] = {}
    for case in cases:
        said = told[case.name]
        if (prices := [one["price"] for one in said.alerts]) != list(case.told):
            found[case.name] = f"told {prices}, due {list(case.told)}"
        for field, due in (("value", case.values), ("exchange", case.exchanges)):
            if due is not None and (was := [one.get(field) for one in said.alerts]) != list(due):
                found[f"{case.name}: {field}"] = f"told {was}, due {list(due)}"
        # An indicator is reported with the last trade's price, which here is of another time than its candle.
        fields = (
            ("exchange", "value") if case.wish.get("condition", {}).get("type") in INDICATORS else ALL_FIELDS
        )
        live, looked_back = (
            [[alert.get(field) for field in fields] for alert in several]
            for several in (said.alerts, said.fired)
        )
        if live != looked_back:
            found[f"{case.name}: preview"] = f"told {live}, looking back {looked_back}"
    return found


def _pair(number: int, case: Case) -> str:
    return f"{case.base or f'C{number:02}'}-USDT"
