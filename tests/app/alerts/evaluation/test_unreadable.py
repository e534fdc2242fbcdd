"""A stored rule that makes no sense here, as one of a newer version, is sent of and stops nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import psycopg
import pytest
from sqlalchemy import URL

from tests.app.alerts.conftest import Endpoint, Exchange
from warehouse.db.connect import conninfo

Start = Callable[[], Awaitable[Endpoint]]


@pytest.mark.parametrize(
    "edit",
    [
        """condition = '{"type": "moon_phase", "phase": "full"}'""",
        """terms = '"what is that"'""",
        """state = '{"waiting": "perhaps"}'""",
    ],
)
async def test_the_other_rules_go_on(database: URL, exchange: Exchange, start: Start, edit: str) -> None:
    here = await start()
    async with here.client("?client=keen") as client:
        first, bad, last = [
            (await client.ask(cmd="watch", symbol="ethusd", price=price))["rule_id"]
            for price in (100, 200, 300)
        ]
        with psycopg.connect(conninfo(database), autocommit=True) as connection:
            connection.execute(f"update alert_rules set {edit} where id = %s", (bad,))  # noqa: S608
            connection.execute("select pg_notify('alert_rules', %s::text)", (bad,))
        listed = await client.ask(cmd="list")
        assert [rule["rule_id"] for rule in listed["rules"]] == [first, last]
        [received] = listed["unreadable"]
        assert received["rule_id"] == bad
        assert f"rule {bad} cannot be read" in received["message"]
        for command in ({"cmd": "snooze", "for": "1h"}, {"cmd": "resume"}):
            refused = await client.ask(**command, rule_id=bad)
            assert (refused["type"], refused["code"]) == ("error", "unreadable_rule")
            assert refused["hint"] == received["hint"]

        await exchange.trade("coinbase:ETH-USD", 250.0)
        assert (await client.read())["rule_id"] == first
        await client.nothing_more()
    here.stop.set()

    there = await start()
    async with there.client("?client=keen") as client:
        await client.nothing_more()
        await exchange.trade("coinbase:ETH-USD", 350.0)
        assert (await client.read())["rule_id"] == last
        assert (await client.ask(cmd="unwatch", rule_id=bad))["type"] == "ack"
        listed = await client.ask(cmd="list")
        assert listed["rules"] == []
        assert "unreadable" not in listed
    assert await there.healthy()
