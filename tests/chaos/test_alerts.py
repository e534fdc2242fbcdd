"""Each due alert is delivered once to a client that resumes, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from psycopg import AsyncConnection, OperationalError

from coinwatch.alerts import Above, Alert, Below, Direction, NewRule, Repeat, Rule, Terms, price_condition
from coinwatch.client import AlertClient
from coinwatch.errors import EndpointUnreachable, WarehouseError
from coinwatch.records import Market
from tests.chaos.conftest import MakeGround
from tests.chaos.ground import COINWATCH, Ground
from tests.waiting import eventually
from warehouse.alerts.rules import add_rule
from warehouse.db.connect import connect
from warehouse.embedded.ports import free_port

pytestmark = [pytest.mark.timeout(900)]

MARKETS = ("binance:BTC-USDT", "kraken:BTC-USDT", "coinbase:ETH-USD")
CLIENTS = 10
WITHIN = 0.001
"""How far the price of a rule may be from the current price, so that many are reached."""


class Endpoints:
    """Alert endpoints as real programs, and their clients."""

    def __init__(self, place: Ground, folder: Path, count: int) -> None:
        self._place = place
        self._log = folder / "endpoints.log"
        self.ports = [free_port() for _ in range(count)]
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self.received: dict[str, list[Alert]] = {}

    async def start(self, port: int) -> None:
        settings = {
            "alerts_port": str(port),
            "database_url": self._place.url.set(drivername="postgresql").render_as_string(
                hide_password=False
            ),
            "data_dir": str(self._log.parent / "data"),
        }
        with self._log.open("ab") as log:
            self._running[port] = await asyncio.create_subprocess_exec(
                *(COINWATCH, "alerts"),
                env={
                    **{name: value for name, value in os.environ.items() if not name.startswith("COINWATCH")},
                    **{f"COINWATCH_{name.upper()}": value for name, value in settings.items()},
                },
                stdout=log,
                stderr=log,
            )

    async def kill(self, port: int) -> None:
        """kill -9 and restart, as ``coinwatch up`` does."""
        process = self._running[port]
        if process.returncode is None:
            process.kill()
        await process.wait()
        await self.start(port)

    async def keep_up(self) -> None:
        """Restart endpoints that ended, as they do when Postgres is unavailable at their start."""
        while True:
            for port, process in list(self._running.items()):
                if process.returncode is not None:
                    await self.start(port)
            await asyncio.sleep(0.5)

    async def listen(self, name: str, port: int) -> None:
        """A client that resumes after the last alert it received, until cancelled."""
        received = self.received.setdefault(name, [])
        while True:
            after = received[-1].event_id if received else 0
            with suppress(EndpointUnreachable):
                async with AlertClient(f"ws://127.0.0.1:{port}/ws", name=name, after=after) as client:
                    async for alert in client:
                        received.append(alert)
            await asyncio.sleep(0.5)

    def end(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def endpoints(place: Ground, folder: Path, count: int) -> AsyncIterator[Endpoints]:
    running = Endpoints(place, folder, count)
    try:
        for port in running.ports:
            await running.start(port)
        yield running
    finally:
        running.end()


async def make_rules(conn: AsyncConnection, count: int, chance: random.Random) -> list[Rule]:
    """Rules around the last price of each market, some for any exchange, some that fire every time."""
    rules: list[Rule] = []
    rows = await (
        await conn.execute(
            "select distinct on (m.id) m.exchange, m.symbol, t.price from ticks t"
            " join markets m on m.id = t.market_id order by m.id, t.ts desc"
        )
    ).fetchall()
    prices = {Market.canonical(f"{exchange}:{symbol}"): price for exchange, symbol, price in rows}
    for number in range(count):
        market = chance.choice(sorted(prices))
        price = prices[market] * (1 + chance.uniform(-WITHIN, WITHIN))
        side = Direction.ABOVE if price > prices[market] else Direction.BELOW
        terms = Terms(repeat=Repeat.EVERY, hysteresis=0.02) if number % 5 == 0 else Terms()
        rule = NewRule(
            symbol=market.symbol,
            exchange=market.exchange if number % 2 else None,
            condition=price_condition(side, price),
            terms=terms,
            typed=str(market),
            client=f"c{number % CLIENTS}",
        )
        rules.append(await add_rule(conn, rule))
    return rules


async def due(place: Ground, rules: Sequence[Rule]) -> set[int]:
    """The rules that a stored trade meets, among those made before it."""
    reached: dict[tuple[str, str], tuple[float, float]] = {}
    for exchange, symbol, low, high in await place.query(
        "select m.exchange, m.symbol, min(price), max(price)"
        " from ticks t join markets m on m.id = t.market_id"
        " where t.ts > (select max(created_at) from alert_rules) group by 1, 2"
    ):
        reached[exchange, symbol] = low, high
    due_ids = set()
    for rule in rules:
        for (exchange, symbol), (low, high) in reached.items():
            if symbol == str(rule.symbol) and rule.exchange in (None, exchange):
                condition = rule.condition
                assert isinstance(condition, Above | Below)
                if condition.met_by(high if isinstance(condition, Above) else low):
                    due_ids.add(rule.id)
    return due_ids


@pytest.mark.parametrize(("times", "count"), [(3, 200), pytest.param(40, 5_000, marks=pytest.mark.proof)])
async def test_every_due_alert_is_delivered_once(
    ground: MakeGround, tmp_path: Path, times: int, count: int
) -> None:
    chance = random.Random(11)
    async with ground(trades_per_s=100, markets=MARKETS) as place, endpoints(place, tmp_path, 3) as running:
        await place.start()
        async with await connect(place.url, application_name="test rules") as conn:
            rules = await make_rules(conn, count, chance)
        keeping = asyncio.create_task(running.keep_up())
        listening: list[asyncio.Task[None]] = []
        for number in range(CLIENTS):
            port = running.ports[number % len(running.ports)]
            await eventually(partial(answers, port), 60)
            listening.append(asyncio.create_task(running.listen(f"c{number}", port)))
        for number in range(times):
            await asyncio.sleep(chance.uniform(0.5, 2))
            match number % 5:
                case 2:
                    await place.kill()
                case 4:
                    place.kill_postgres()
                    await asyncio.to_thread(place.server.start)
                case _:
                    await running.kill(chance.choice(running.ports))
        await place.settled()

        expected: set[int] = set()

        async def all_delivered() -> bool:
            nonlocal expected
            try:
                stored = {row[0] for row in await place.query("select distinct rule_id from alert_events")}
                last = (await place.query("select last_event_id from alert_counter"))[0][0]
                expected = await due(place, rules)
            except (OperationalError, WarehouseError):
                return False
            heard = {alert.event_id for alerts in running.received.values() for alert in alerts}
            return expected <= stored and heard == set(range(1, last + 1))

        with suppress(AssertionError):  # the assertions below show what is missing
            await eventually(all_delivered, 120)
        for task in (keeping, *listening):
            task.cancel()
        await asyncio.gather(keeping, *listening, return_exceptions=True)
        alerts = [alert for received in running.received.values() for alert in received]
        once = {rule.id for rule in rules if rule.terms.repeat is Repeat.ONCE}
        fired = Counter(alert.rule_id for alert in alerts)
        print(f"{len(alerts):,} alerts of {len(fired):,} rules, {times} times killed")  # noqa: T201
        assert len({alert.event_id for alert in alerts}) == len(alerts)
        assert {alert.event_id for alert in alerts} == set(range(1, len(alerts) + 1))
        assert expected - fired.keys() == set()
        assert {rule_id for rule_id in fired if rule_id in once and fired[rule_id] > 1} == set()
        doubled = await place.query(
            "select rule_id, exchange, trade_id, count(*) from alert_events where trade_id is not null"
            " group by 1, 2, 3 having count(*) > 1"
        )
        assert doubled == []
        wrong = await place.query(
            "select e.event_id from alert_events e where trade_id is not null and not exists ("
            " select from ticks t join markets m on m.id = t.market_id where m.exchange = e.exchange"
            " and m.symbol = e.symbol and t.trade_id = e.trade_id and t.price = e.price)"
        )
        assert wrong == []


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
