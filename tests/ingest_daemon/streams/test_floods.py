"""An exchange whose frames take long to read is disconnected, and does not delay the sockets of others."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from coinwatch.records import Market
from ingest_daemon.streams.reader import MOST_PARTS
from tests.ingest_daemon import frames
from tests.ingest_daemon.conftest import RunDaemon
from tests.ingest_daemon.replay import Session, replaying
from tests.ingest_daemon.streams.test_reader import OpenReading, reading
from tests.lag import longest_delay
from tests.waiting import eventually

__all__ = ["reading"]

ZIL, BAND = Market.canonical("binance:ZIL-USDT"), Market.canonical("coinbase:BAND-GBP")
LONGEST_DELAY_S = 0.25
"""Of the event loop, while a flood is read. The loop would freeze for minutes without the limits."""
FLOODS = {
    "empty parts": b"\x01\x00" + b"\x00\x00" * 300_000,
    "small parts": b"\x01\x01x" + b"\x00\x01x" * 300_000,
    "pings": b"\x89\x00" * 300_000,
    "pongs": b"\x8a\x00" * 300_000,
    "empty messages": b"\x81\x00" * 300_000,
    "unreadable messages": b"\x81\x02{}" * 200_000,
    "binary messages": b"\x82\x01x" * 200_000,
    "compressed frames": b"\xc1\x02\x02\x00" * 200_000,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_of_frames_ends_the_socket(reading: OpenReading, flood: bytes) -> None:
    async def script(session: Session) -> None:
        session.connection.transport.write(flood)

    async with longest_delay() as delay, reading(script, ZIL) as socket:
        await asyncio.wait({socket.connection.ended}, timeout=30)
        assert socket.connection.ended.done()
        assert socket.connection.why_ended().startswith("ended: ")
        assert socket.events[-1] == "end"
    assert delay.longest_s < LONGEST_DELAY_S


async def test_a_message_in_many_parts_is_read(reading: OpenReading) -> None:
    async def script(session: Session) -> None:
        [frame] = frames.binance("ZILUSDT", 7)
        await session.connection.send(["", *frame[: MOST_PARTS - 5], frame[MOST_PARTS - 5 :]])

    async with reading(script, ZIL) as socket:
        assert await socket.ids(1) == [7]


async def test_a_flood_of_refusals_is_cheap_and_logged_once(run_daemon: RunDaemon) -> None:
    """Each would cost a line of log, and a comparison with each market."""
    refusal = json.dumps({"type": "error", "message": "x" * 500, "reason": "NOT-ONE is not a valid product"})

    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(*[refusal] * 4_000)
        await session.send(*frames.coinbase("BAND-GBP", 1))

    with capture_logs() as logs:
        async with (
            replaying(coinbase=script) as replay,
            longest_delay() as delay,
            run_daemon(markets=(BAND,), **replay.settings()) as daemon,
        ):

            async def is_stored() -> bool:
                return await daemon.stored() == 1

            await eventually(is_stored)
    assert [entry["event"] for entry in logs].count("the exchange refused a request") <= 2
    assert delay.longest_s < 2, "the start of the daemon included"


async def test_reasons_of_an_exchange_are_stored_whatever_they_are(run_daemon: RunDaemon) -> None:
    """Postgres stores no NUL: a refused statement would end the daemon."""
    refusal = {"type": "error", "message": "no\0way", "reason": "BAND-GBP is not a valid product\0\nerror: x"}

    async def script(session: Session) -> None:
        await session.subscription()
        await session.send(json.dumps(refusal))
        if session.number == 0:
            await session.connection.close(1000, "bye\0\n")

    async with (
        replaying(coinbase=script) as replay,
        run_daemon(markets=(BAND,), **replay.settings()) as daemon,
    ):

        async def is_refused() -> bool:
            return "BAND-GBP is not" in (await daemon.health(BAND))[1]

        await eventually(is_refused)
        assert "\n" not in (await daemon.health(BAND))[1]
