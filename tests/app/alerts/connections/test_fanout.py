"""Alert events of this endpoint and of others, delivered once each and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest
from sqlalchemy import URL

from app.alerts.connections.fanout import SocketFanout
from app.alerts.connections.hub import Hub
from app.alerts.metrics import Metrics
from coinwatch.alerts import Alert
from coinwatch.health.outage import Outage
from tests.waiting import eventually
from warehouse.db.database import Database

INSERT = """
with numbered as (update alert_counter set last_event_id = %(event_id)s)
insert into alert_events (event_id, rule_id, client, symbol, exchange, price, ts, message)
values (%(event_id)s, 1, 'bot', 'BTC-USDT', 'binance', 1.0, now(), 'fired')
"""


class RecordingHub(Hub):
    """Records the events that it delivers."""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.delivered: list[int] = []

    def deliver(self, alert: Alert) -> None:
        if alert.event_id > self.last_event_id:
            self.delivered.append(alert.event_id)
        super().deliver(alert)


def alert(event_id: int) -> Alert:
    return Alert(
        event_id=event_id,
        rule_id=1,
        symbol="BTC-USDT",
        exchange="binance",
        price=1.0,
        ts_us=1,
        message="fired",
        client="bot",
    )


@pytest.fixture
def hub() -> RecordingHub:
    return RecordingHub()


@asynccontextmanager
async def running(database: URL, hub: Hub) -> AsyncIterator[SocketFanout]:
    events = Database(database, "test fanout")
    fanout = SocketFanout(events, hub, Outage("test", "deliveries wait"))
    await fanout.start_now()
    task = asyncio.create_task(fanout.run())
    try:
        yield fanout
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await events.close()


def insert(database: URL, *event_ids: int) -> None:
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as conn:
        for event_id in event_ids:
            conn.execute(INSERT, {"event_id": event_id})


async def test_own_events_are_delivered_without_being_read(database: URL, hub: RecordingHub) -> None:
    async with running(database, hub) as fanout:
        fanout.stored([alert(1), alert(2)])
        assert hub.delivered == [1, 2]


async def test_own_events_wait_for_earlier_ones_of_others(database: URL, hub: RecordingHub) -> None:
    async with running(database, hub) as fanout:
        fanout.stored([alert(2)])
        assert hub.delivered == []
        insert(database, 1, 2)
        fanout.announce(2)
        await eventually(lambda: hub.delivered == [1, 2])


async def test_an_announcement_of_own_events_reads_nothing(database: URL, hub: RecordingHub) -> None:
    async with running(database, hub) as fanout:
        read_age_s = fanout.age_s
        with fanout.claiming():
            fanout.announce(1)
            fanout.stored([alert(1)])
        await asyncio.sleep(0)
        assert hub.delivered == [1]
        assert fanout.age_s >= read_age_s


async def test_events_before_the_start_are_not_delivered(database: URL, hub: RecordingHub) -> None:
    insert(database, 1)
    async with running(database, hub) as fanout:
        insert(database, 2)
        fanout.wake()
        await eventually(lambda: hub.delivered == [2])
