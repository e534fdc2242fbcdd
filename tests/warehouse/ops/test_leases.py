"""Leases among several holders, each on its own connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import URL

from tests.waiting import eventually
from warehouse.db.connect import connect, engine
from warehouse.ops.health import beat
from warehouse.ops.leases import hold, read_leases, release, renew, silent_holders, take

LONG_S = 60.0
SHORT_S = 0.2

MARKETS = [f"binance:A{number:03}-USDT" for number in range(500)]


@pytest.fixture
async def holders(database: URL) -> AsyncIterator[list[psycopg.AsyncConnection]]:
    connections = [await connect(database, application_name=f"holder {number}") for number in range(4)]
    yield connections
    for connection in connections:
        await connection.close()


def holders_by_name(database: URL) -> dict[str, str]:
    pool = engine(database, application_name="test leases")
    with pool.connect() as connection:
        rows = read_leases(connection)
    pool.dispose()
    return {row.name: row.holder for row in rows}


async def test_one_of_many_holds(holders: Sequence[psycopg.AsyncConnection]) -> None:
    for _ in range(20):
        won = await asyncio.gather(
            *(hold(conn, "averages", f"h{number}", LONG_S) for number, conn in enumerate(holders))
        )
        assert sum(won) == 1
        winner = won.index(True)
        assert await hold(holders[winner], "averages", f"h{winner}", LONG_S)
        assert not await hold(holders[winner - 1], "averages", "another", LONG_S)
        await release(holders[winner], f"h{winner}")


async def test_an_expired_lease_can_be_taken(holders: Sequence[psycopg.AsyncConnection]) -> None:
    first, second, *_ = holders
    assert await hold(first, "averages", "first", SHORT_S)
    assert not await hold(second, "averages", "second", LONG_S)
    assert await eventually(lambda: hold(second, "averages", "second", LONG_S))
    assert not await hold(first, "averages", "first", LONG_S)


async def test_renewal_keeps_expired_leases_that_are_free(holders: Sequence[psycopg.AsyncConnection]) -> None:
    first, second, *_ = holders
    names = {"a", "b", "c"}
    assert await take(first, "first", names, SHORT_S, 3) == names
    assert await renew(first, "first", names, SHORT_S) == names
    assert await renew(second, "second", names, LONG_S) == set()
    assert await eventually(lambda: take(second, "second", ["b"], LONG_S, 1)) == {"b"}
    assert await renew(first, "first", [*names, "never had"], LONG_S) == {"a", "c"}
    assert await take(second, "second", names, LONG_S, 3) == set()
    assert await renew(first, "first", [], LONG_S) == set()


async def test_taking_is_by_name_and_up_to_the_limit(holders: Sequence[psycopg.AsyncConnection]) -> None:
    first, second, *_ = holders
    assert await take(first, "first", ["c", "a", "b", "a", "d"], LONG_S, 2) == {"a", "b"}
    assert await take(second, "second", ["d", "c", "b", "a"], LONG_S, 10) == {"c", "d"}
    assert await take(second, "second", ["e"], LONG_S, 0) == set()
    assert await take(second, "second", [], LONG_S, 5) == set()


async def test_giving_up_touches_only_ones_own(
    database: URL, holders: Sequence[psycopg.AsyncConnection]
) -> None:
    first, second, *_ = holders
    await take(first, "first", ["a", "b", "c"], LONG_S, 3)
    await take(second, "second", ["d", "e"], LONG_S, 2)
    await release(first, "first", ["a", "d"])
    assert holders_by_name(database) == {"b": "first", "c": "first", "d": "second", "e": "second"}
    await release(first, "first", [])
    await release(second, "second")
    assert holders_by_name(database) == {"b": "first", "c": "first"}


@pytest.mark.parametrize("limit", [125, 500])
async def test_four_race_for_500(
    database: URL, holders: Sequence[psycopg.AsyncConnection], limit: int
) -> None:
    async def take_my_part(number: int, conn: psycopg.AsyncConnection) -> set[str]:
        ordered = MARKETS[number * 125 :] + MARKETS[: number * 125]
        return await take(conn, f"h{number}", ordered, LONG_S, limit)

    async with asyncio.timeout(20):
        taken = await asyncio.gather(*(take_my_part(*each) for each in enumerate(holders)))
    assert Counter(name for names in taken for name in names) == Counter(MARKETS)
    assert holders_by_name(database) == {
        name: f"h{number}" for number, names in enumerate(taken) for name in names
    }
    if limit == 125:
        assert [len(names) for names in taken] == [125] * 4


async def test_no_two_ever_believe_to_hold_the_same(holders: Sequence[psycopg.AsyncConnection]) -> None:
    """Leases that keep expiring, in every order: a granted lease has one holder until it expires."""
    names = MARKETS[:40]
    loop = asyncio.get_running_loop()
    ttl_s = 0.05
    sure_until: dict[str, tuple[str, float]] = {}

    def note(holder: str, granted: set[str], asked_at: float) -> None:
        # The reply was true at some time after the request, and for ttl_s from then on.
        now = loop.time()
        for name in granted:
            other, until = sure_until.get(name, (holder, 0.0))
            assert other == holder or now >= until
            sure_until[name] = (holder, asked_at + ttl_s)

    async def compete(number: int, conn: psycopg.AsyncConnection) -> None:
        holder = f"h{number}"
        ordered = names[::-1] if number % 2 else names
        mine: set[str] = set()
        for turn in range(60):
            asked_at = loop.time()
            mine = await renew(conn, holder, mine, ttl_s)
            note(holder, mine, asked_at)
            asked_at = loop.time()
            taken = await take(conn, holder, ordered, ttl_s, 15)
            note(holder, taken, asked_at)
            mine |= taken
            if turn % 7 == number:
                for name in mine:
                    sure_until.pop(name, None)
                await release(conn, holder, mine)
                mine = set()
            if turn % 5 == number:
                await asyncio.sleep(2 * ttl_s)

    async with asyncio.timeout(60):
        await asyncio.gather(*(compete(*each) for each in enumerate(holders)))


async def test_whose_leases_are_orphaned(
    holders: Sequence[psycopg.AsyncConnection],
) -> None:
    first, second, *_ = holders
    now = datetime.now(UTC)
    await beat(first, "ingest", "first", now, {})
    await beat(second, "ingest", "second", now, {})
    await beat(second, "alerts", "third", now, {})
    await hold(first, "a", "first", LONG_S)
    await hold(second, "b", "second", LONG_S)
    assert await silent_holders(first, "ingest", 3) == set()
    await first.execute(
        "update service_heartbeats set beat_at = now() - interval '4 s' where instance = 'first'"
    )
    assert await silent_holders(first, "ingest", 3) == {"first"}


def test_what_is_left_is_in_seconds(database: URL) -> None:
    pool = engine(database, application_name="test leases")
    with pool.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "insert into leases (name, holder, expires_at)"
                " values ('a', 'x', now() + interval '5 s'), ('b', 'x', now() - interval '5 s')"
            )
        )
        assert [(row.name, row.expires_in_s) for row in read_leases(connection)] == [("a", 5.0), ("b", -5.0)]
    pool.dispose()
