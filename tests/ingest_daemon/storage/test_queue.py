from __future__ import annotations

import asyncio

import pytest

from coinwatch.records import Market, Trade
from coinwatch.stream_gaps import GapCause
from ingest_daemon.storage.queue import TradeQueue

MARKET = Market.canonical("binance:BTC-USDT")


def trades(start: int, count: int) -> list[Trade]:
    return [Trade(MARKET, number, number, 1.0, 1.0, True) for number in range(start, start + count)]


class Socket:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


async def test_take_returns_queued_trades_up_to_the_limit() -> None:
    queue = TradeQueue()
    queue.put(trades(0, 3), 1)
    queue.put(trades(3, 4), 2)
    first = await queue.take(5)
    second = await queue.take(5)
    assert first is not None
    assert second is not None
    assert [t.trade_id for t in first.trades + second.trades] == list(range(7))
    assert (len(first.trades), len(second.trades), second.received_us) == (5, 2, 2)


async def test_room_is_there_until_the_queue_is_full_and_after() -> None:
    queue = TradeQueue(high_mark=3, low_mark=1)
    await queue.room()
    queue.put(trades(0, 3), 1)
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    await queue.take(3)
    await asyncio.wait_for(waiting, 5)


async def test_take_waits_for_a_trade_and_ends_when_closed() -> None:
    queue = TradeQueue()
    taking = asyncio.create_task(queue.take(10))
    await asyncio.sleep(0)
    assert not taking.done()
    queue.put(trades(0, 1), 1)
    batch = await taking
    assert batch is not None
    assert len(batch.trades) == 1
    queue.put(trades(1, 1), 1)
    queue.close()
    assert await queue.take(10) is not None
    assert await queue.take(10) is None


async def test_sockets_pause_between_the_marks() -> None:
    queue = TradeQueue(high_mark=10, low_mark=4)
    early, late, gone = Socket(), Socket(), Socket()
    queue.attach(early)
    queue.attach(gone)
    queue.put(trades(0, 9), 1)
    assert early.calls == []
    queue.detach(gone)
    queue.put(trades(9, 6), 1)
    queue.attach(late)
    assert queue.full
    assert (early.calls, late.calls, gone.calls) == (["pause"], ["pause"], [])
    await queue.take(10)
    assert queue.full
    await queue.take(1)
    assert not queue.full
    assert (early.calls, late.calls) == (["pause", "resume"], ["pause", "resume"])
    left = await queue.take(100)
    assert left is not None
    assert [t.trade_id for t in left.trades] == list(range(11, 15))


@pytest.mark.parametrize("count", [1, 25_000])
async def test_len_counts_queued_trades(count: int) -> None:
    queue = TradeQueue()
    queue.put(trades(0, count), 1)
    assert len(queue) == count


async def test_an_interruption_starts_a_new_batch() -> None:
    queue = TradeQueue()
    queue.put(trades(0, 3), 1)
    queue.interrupt([MARKET], GapCause.DISCONNECTED)
    queue.interrupt([MARKET], GapCause.SILENT)
    queue.put_past(trades(50, 1), 2)
    queue.put(trades(3, 5), 3)
    assert len(queue) == 9
    before, after, rest = [await queue.take(3) for _ in range(3)]
    assert before is not None
    assert after is not None
    assert rest is not None
    assert (len(before.trades), before.interruptions) == (3, [])
    assert [(i.markets, i.cause) for i in after.interruptions] == [
        ((MARKET,), GapCause.DISCONNECTED),
        ((MARKET,), GapCause.SILENT),
    ]
    assert ([t.trade_id for t in after.past], len(after.trades)) == ([50], 3)
    assert (rest.interruptions, rest.past, len(rest.trades)) == ([], [], 2)
    assert len(queue) == 0


async def test_take_returns_an_empty_batch_after_its_patience() -> None:
    batch = await TradeQueue().take(10, patience_s=0.01)
    assert batch is not None
    assert not batch
