"""Rules, claims and snapshots on a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import msgspec
import pytest
import sqlalchemy
from psycopg import AsyncConnection
from sqlalchemy import URL

from coinwatch.alerts import Above, Below, Firing, NewRule, Rule, Step, Terms, Transition
from coinwatch.errors import WarehouseRejected
from coinwatch.records import Market, Trade
from coinwatch.times import DAY_US, now_us, to_datetime
from warehouse.alerts import rules as alerts_rules
from warehouse.alerts.claims import Claimed, claim
from warehouse.alerts.snapshots import (
    PriceRange,
    consistent_reads,
    end_dead_endpoints,
    last_snapshot,
    mark,
    missed_trades,
    take_snapshot,
    trades_of_commit,
)
from warehouse.db.connect import connect, engine
from warehouse.db.notifications import decode_notice
from warehouse.markets import ensure_markets
from warehouse.trades.writer import TickWriter

MARKET = Market.canonical("binance:BTC-USDT")


def new_rule(client: str | None = "bot", connection: str | None = None, price: float = 100.0) -> NewRule:
    return NewRule(
        symbol=MARKET.symbol,
        condition=Above(price=price),
        typed="btcusdt",
        client=client,
        connection=connection,
    )


def trade(trade_id: int, price: float = 101.0, age_us: int = 0) -> Trade:
    return Trade(MARKET, trade_id, now_us() - age_us, price, 1.0, True)


@pytest.fixture
def page(database: URL) -> Iterator[sqlalchemy.Connection]:
    pages = engine(database, application_name="test page")
    with pages.connect() as connection:
        yield connection
    pages.dispose()


async def heard(conn: AsyncConnection, count: int) -> list[tuple[str, str]]:
    return [(notify.channel, notify.payload) async for notify in conn.notifies(timeout=60, stop_after=count)]


async def test_pages_make_list_and_delete_rules(database: URL, page: sqlalchemy.Connection) -> None:
    async with await connect(database, application_name="listener") as listener:
        await listener.execute("listen alert_rules")
        wanted = NewRule(
            symbol=MARKET.symbol,
            exchange="binance",
            condition=Below(price=0.1 + 0.2),
            typed="Binance:btc/usdt",
            note="näh",
            terms=Terms(template="Buy"),
            client="dashboard",
        )
        made = alerts_rules.create_rule(page, wanted)
        other = alerts_rules.create_rule(page, new_rule(client="bot"))
        assert alerts_rules.list_rules(page, client="dashboard").rules == [made]
        assert {field: getattr(made, field) for field in wanted.__struct_fields__} == {
            field: getattr(wanted, field) for field in wanted.__struct_fields__
        }
        assert (made.armed, made.state_no, made.fired_at_us) == (True, 0, None)
        assert abs(made.created_at_us - now_us()) < 60_000_000
        assert not alerts_rules.delete_rule(page, other.id, client="dashboard")
        assert alerts_rules.delete_rule(page, made.id, client="dashboard")
        assert not alerts_rules.delete_rule(page, made.id, client="dashboard")
        assert alerts_rules.list_rules(page, client="dashboard").rules == []
        page.commit()
        events = await heard(listener, 2)
        assert events == [("alert_rules", str(made.id)), ("alert_rules", str(other.id))]


async def armed(conn: AsyncConnection) -> list[Rule]:
    async with conn.transaction():
        return [rule async for portion in alerts_rules.armed_rules(conn) for rule in portion]


def firing(rule: Rule, by: Trade) -> Transition:
    """``rule``, fired by a trade."""
    after = msgspec.structs.replace(rule.fired(now_us(), {}), state_no=rule.state_no + 1)
    fired = Firing(rule, by.market.exchange, by.price, by.ts_us, by.trade_id)
    return Transition(rule, (Step(after, "1", 1, fired),))


async def test_a_claim_fires_once_and_announces_its_range(
    database: URL, conn: AsyncConnection, page: sqlalchemy.Connection
) -> None:
    first = await alerts_rules.add_rule(conn, new_rule())
    second = await alerts_rules.add_rule(conn, new_rule(client=None, connection="here/1"))
    await conn.execute("listen alerts")
    firings = [firing(second, trade(1, 150.0)), firing(first, trade(2, 160.0))]
    claimed = await claim(conn, firings)
    assert claimed.ids == {first.id, second.id}
    assert await claim(conn, firings) == Claimed(set(), [])
    assert await heard(conn, 1) == [("alerts", "1,2")]
    events = await alerts_rules.events_after(conn, 0)
    assert claimed.alerts == events
    assert [(event.event_id, event.rule_id, event.price) for event in events] == [
        (1, second.id, 150.0),
        (2, first.id, 160.0),
    ]
    assert await alerts_rules.events_of_client(conn, "bot", 0, 2) == events[1:]
    assert await alerts_rules.events_after(conn, 1) == events[1:]
    assert await alerts_rules.last_event_id(conn) == 2
    assert alerts_rules.recent_events(page) == events[::-1]
    assert alerts_rules.recent_events(page, client="bot", limit=1) == events[1:]
    fired = (await alerts_rules.rules_by_id(conn, [first.id]))[first.id]
    assert (fired.armed, fired.state_no) == (False, 1)
    assert fired.fired_at_us is not None
    assert await armed(conn) == []


async def test_a_claim_on_an_older_state_comes_to_nothing(conn: AsyncConnection) -> None:
    rule = await alerts_rules.add_rule(conn, new_rule())
    await conn.execute("update alert_rules set state_no = 5")
    assert (await claim(conn, [firing(rule, trade(1))])).ids == set()
    assert await alerts_rules.last_event_id(conn) == 0
    (now,) = await armed(conn)
    assert (await claim(conn, [firing(now, trade(1))])).ids == {rule.id}


async def test_rivals_claim_every_rule_once_and_a_reader_never_meets_a_gap(
    database: URL, conn: AsyncConnection
) -> None:
    rules = [await alerts_rules.add_rule(conn, new_rule(price=price)) for price in range(1, 301)]
    seen: list[int] = []

    async def rival(order: int) -> int:
        won = 0
        async with await connect(database, application_name="rival") as mine:
            for start in range(0, 300, 6):
                part = [firing(rule, trade(rule.id)) for rule in rules[start : start + 6]]
                won += len((await claim(mine, part[::order])).ids)
        return won

    async def read() -> None:
        while len(seen) < 300:
            seen.extend(event.event_id for event in await alerts_rules.events_after(conn, len(seen)))
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as tasks:
        rivals = [tasks.create_task(rival(order)) for order in (1, -1, 1)]
        tasks.create_task(read())
    assert sum(task.result() for task in rivals) == 300
    assert seen == list(range(1, 301))


async def test_rules_end_with_their_owner(conn: AsyncConnection) -> None:
    mine = await alerts_rules.add_rule(conn, new_rule(None, "here/1"))
    await alerts_rules.add_rule(conn, new_rule(None, "here/1"))
    other = await alerts_rules.add_rule(conn, new_rule(None, "here/2"))
    assert not await alerts_rules.remove_rule(conn, mine.id, client=None, connection="here/2")
    assert not await alerts_rules.remove_rule(conn, mine.id, client="bot", connection=None)
    assert await alerts_rules.armed_rules_of(conn, client=None, connection="here/2") == ([other], [])
    assert await alerts_rules.remove_rules_of_connection(conn, "here/1") == 2
    assert await alerts_rules.remove_rules_of_connection(conn, "here/1") == 0
    assert await armed(conn) == [other]


async def beat(conn: AsyncConnection, instance: str, number: int = 1) -> None:
    now = await take_snapshot(conn)
    await mark(
        conn,
        instance=instance,
        started_at=to_datetime(now.at_us),
        processed=now,
        detail={"rules": 1},
        channel="alert_mark_test",
        number=number,
    )


async def test_rules_of_dead_endpoints_do_not_linger(conn: AsyncConnection) -> None:
    async def owners() -> list[str]:
        return sorted(rule.connection or rule.client or "" for rule in await armed(conn))

    for owner in ("dead/1", "dead/2", "alive/1", "never/1"):
        await alerts_rules.add_rule(conn, new_rule(None, owner))
    await alerts_rules.add_rule(conn, new_rule("named"))
    await beat(conn, "dead")
    await conn.execute("update service_heartbeats set beat_at = beat_at - interval '31 seconds'")
    await beat(conn, "alive")
    # No endpoint could send heartbeats while the server was down.
    assert await end_dead_endpoints(conn, lease_s=86_400 * 365) == 0
    assert len(await owners()) == 5
    await asyncio.sleep(0.2)
    await beat(conn, "alive")
    assert await end_dead_endpoints(conn, lease_s=0.2) == 3
    assert await owners() == ["alive/1", "named"]


async def test_a_mark_arrives_after_all_commits_of_its_snapshot(database: URL, conn: AsyncConnection) -> None:
    async with await connect(database, application_name="listener") as listener:
        await listener.execute("listen ticks")
        await listener.execute("listen alert_mark_test")
        writer = TickWriter(conn, await ensure_markets(conn, {MARKET: "BTCUSDT"}))
        await writer.write([trade(1)])
        seen = await take_snapshot(conn)
        await beat(conn, "here", number=7)
        await writer.write([trade(2)])
        (ticks, first), (channel, number), (_, second) = await heard(listener, 3)
        assert (ticks, channel, number) == ("ticks", "alert_mark_test", "7")
        assert seen.sees(decode_notice(first).tx)
        assert not seen.sees(decode_notice(second).tx)
    stored = await last_snapshot(conn)
    assert stored is not None
    assert stored.sees(decode_notice(first).tx)
    assert not stored.sees(decode_notice(second).tx)


async def test_a_snapshot_excludes_running_transactions(database: URL, conn: AsyncConnection) -> None:
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(await connect(database, application_name="slow"))
        async with slow.transaction():
            row = await (await slow.execute("select pg_current_xact_id()::text::bigint")).fetchone()
            assert row is not None
            await conn.execute("select pg_current_xact_id()")
            seen = await take_snapshot(conn)
        assert not seen.sees(row[0])
        assert (await take_snapshot(conn)).sees(row[0])


async def test_missed_trades_are_those_not_seen_that_can_matter(conn: AsyncConnection) -> None:
    ids = await ensure_markets(conn, {MARKET: "BTCUSDT"})
    writer = TickWriter(conn, ids)
    await writer.write([trade(1, 200.0)])
    seen = await take_snapshot(conn)
    await writer.write([trade(2, 100.0), trade(3, 150.0), trade(4, 90.0), trade(5, 99.0)])
    await writer.write([trade(6, 160.0, age_us=DAY_US)])
    wanted = PriceRange(ids[MARKET], now_us() - 60_000_000, at_or_above=150.0, at_or_below=90.0)
    async with consistent_reads(conn):
        chunks = [chunk async for chunk in missed_trades(conn, seen, [wanted])]
    assert [[stored.trade.trade_id for stored in chunk] for chunk in chunks] == [[3, 4]]
    assert chunks[0][0].trade.market == MARKET


async def test_the_trades_of_one_commit_and_no_other(database: URL, conn: AsyncConnection) -> None:
    ids = await ensure_markets(conn, {MARKET: "BTCUSDT"})
    writer = TickWriter(conn, ids)
    await writer.write([trade(1), trade(5)])
    await conn.execute("listen ticks")
    sent = [trade(2), trade(3, age_us=3 * DAY_US), trade(9)]
    await writer.write(sent)
    ((_, payload),) = await heard(conn, 1)
    notice = decode_notice(payload)
    (move,) = notice.moves
    trades = await trades_of_commit(conn, notice.tx, MARKET, move)
    assert trades == sorted(sent, key=lambda stored: stored.ts_us)


async def test_a_rule_that_cannot_be_read_does_not_silence_the_rest(conn: AsyncConnection) -> None:
    rules = [await alerts_rules.add_rule(conn, new_rule()) for _ in range(5)]
    for rule, condition in zip(
        rules, ("{}", '{"type":"near","price":1}', "[]", '{"type":"above","price":-1}'), strict=False
    ):
        await conn.execute("update alert_rules set condition = %s::jsonb where id = %s", (condition, rule.id))
    assert await armed(conn) == rules[4:]
    assert await alerts_rules.rules_by_id(conn, [rule.id for rule in rules]) == {rules[4].id: rules[4]}


def test_a_rule_cannot_have_two_owners_or_none(page: sqlalchemy.Connection) -> None:
    for client, connection in (("bot", "here/1"), (None, None)):
        with pytest.raises(WarehouseRejected):
            alerts_rules.create_rule(page, new_rule(client, connection))
        page.rollback()
