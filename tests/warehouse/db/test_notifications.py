from __future__ import annotations

import asyncio
from contextlib import aclosing

import psycopg
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection

from coinwatch.errors import WarehouseError
from tests.waiting import eventually
from warehouse.db.connect import connect, conninfo
from warehouse.db.notifications import (
    NOTICE_BYTES,
    MarketMove,
    TicksNotice,
    decode_notice,
    encode_moves,
    listen,
)

numbers = st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(0, 2**63 - 1)
moves = st.builds(
    MarketMove,
    st.integers(1, 2**31 - 1),
    *(ids, ids),
    *(numbers, numbers, numbers, numbers, numbers),
    st.integers(1, 20_000),
    st.integers(0, 2**62),
)


@given(ids, st.lists(moves, max_size=200))
def test_notices_hold_every_move_exactly_and_each_fits_a_payload(tx: int, sent: list[MarketMove]) -> None:
    payloads = [f'{{"tx":{tx},"moves":{part}}}' for part in encode_moves(sent)]
    assert all(len(payload.encode()) < NOTICE_BYTES for payload in payloads)
    notices = [decode_notice(payload) for payload in payloads]
    assert all(notice.tx == tx and notice.moves for notice in notices)
    assert [move for notice in notices for move in notice.moves] == sent


def test_a_notice_reads_as_documented() -> None:
    move = MarketMove(7, 1, 3, 10.0, 12.5, 9.0, 11.0, 0.5, 3, 1_700_000_000_000_000)
    (part,) = encode_moves([move])
    assert part == "[[7,1,3,10.0,12.5,9.0,11.0,0.5,3,1700000000000000]]"
    assert decode_notice(f'{{"tx":99,"moves":{part}}}') == TicksNotice(99, [move])


@pytest.mark.parametrize("payload", ["", "{}", "[]", '{"tx":1,"moves":[[1]]}', '{"tx":"x","moves":[]}'])
def test_a_foreign_payload_is_a_warehouse_error(payload: str) -> None:
    with pytest.raises(WarehouseError, match="not a notice of ticks"):
        decode_notice(payload)


@pytest.mark.parametrize("rest_s", [0.0, 0.02])
async def test_listen_reads_missed_rows_first_and_reconnects(database: sqlalchemy.URL, rest_s: float) -> None:
    heard: list[str] = []
    connected: list[int] = []

    async def on_connect(conn: AsyncConnection) -> None:
        # Announced after LISTEN and before the generator runs: must not be lost.
        async with await connect(database, application_name="shouter") as other:
            await other.execute("select pg_notify('ticks', %s)", (f"during {len(connected)}",))
        await conn.execute("select 1")
        connected.append(conn.info.backend_pid)

    async def hear() -> None:
        async with aclosing(
            listen(
                database,
                ["ticks", "other"],
                application_name="listener",
                on_connect=on_connect,
                rest_s=rest_s,
            )
        ) as notifies:
            async for notify in notifies:
                heard.append(f"{notify.channel}: {notify.payload}")

    hearing = asyncio.create_task(hear())
    async with await psycopg.AsyncConnection.connect(conninfo(database), autocommit=True) as shouter:
        await eventually(lambda: len(heard) == 1)
        await shouter.execute("select pg_notify('other', 'hello')")
        await eventually(lambda: len(heard) == 2)
        await shouter.execute("select pg_terminate_backend(%s)", (connected[0],))
        await eventually(lambda: len(heard) == 3)
        await shouter.execute("notify ticks, 'again'")
        await eventually(lambda: len(heard) == 4)
    hearing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hearing
    assert heard == ["ticks: during 0", "other: hello", "ticks: during 1", "ticks: again"]
