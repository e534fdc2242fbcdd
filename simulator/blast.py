"""A load generator for benchmarks: prepared Binance trade frames, sent as fast as the client reads.

Example: python -m simulator.blast --frames 200000 --port 0
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
import uvloop
from numpy.typing import NDArray
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from coinwatch.records import Market
from coinwatch.times import now_us
from simulator.hashing import Ints
from simulator.markets import SimMarket, sim_markets
from simulator.truth import trades_in_minutes
from simulator.wire import text_frame

BLAST_MARKETS: Final = tuple(market for market in sim_markets() if market.exchange == "binance")
"""The markets whose trades are sent, in rotation."""

_FIRST_ID = 100_000_000_000
_ID_DIGITS, _MS_DIGITS = 12, 13
_CHUNK_FRAMES = 2_000
_TICK_S = 0.002
_SAMPLE_MINUTE = 29_000_000
_SAMPLE_TRADES = 1_000


class Frames:
    """``count`` distinct aggTrade frames in one buffer, ready to send.

    Ids are consecutive per market; ``renew`` writes new ids and times in place.
    """

    def __init__(self, count: int, markets: Sequence[Market] = BLAST_MARKETS) -> None:
        self.count = count
        sims = sim_markets()
        samples = [_samples(sims[market]) for market in markets]
        frames, ids_at, times_at = [], [], []
        start = 0
        for number in range(count):
            turn, place = number % len(markets), number // len(markets)
            price, amount, maker = samples[turn][place % _SAMPLE_TRADES]
            native = f"{markets[turn].symbol.base}{markets[turn].symbol.quote}"
            payload = (
                f'{{"stream":"{native.lower()}@aggTrade","data":{{"e":"aggTrade","E":{0:0{_MS_DIGITS}},'
                f'"s":"{native}","a":{0:0{_ID_DIGITS}},"p":"{price}","q":"{amount}",'
                f'"f":{0:0{_ID_DIGITS}},"l":{0:0{_ID_DIGITS}},"T":{0:0{_MS_DIGITS}},"m":{maker},"M":true}}}}'
            ).encode()
            frame = text_frame(payload)
            ids_at.append([start + frame.index(key) + 4 for key in (b'"a":', b'"f":', b'"l":')])
            times_at.append([start + frame.index(key) + 4 for key in (b'"E":', b'"T":')])
            frames.append(frame)
            start += len(frame)
        self._buffer: NDArray[np.uint8] = np.frombuffer(b"".join(frames), np.uint8).copy()
        self._starts = np.cumsum([0, *map(len, frames)])
        self._ids_at, self._times_at = np.array(ids_at), np.array(times_at)
        self._step = len(markets)

    def renew(self, first: int, end: int, sent: int, ts_us: int) -> None:
        """Number frames ``first`` to ``end`` as those sent after ``sent`` others, at time ``ts_us``."""
        ids = _FIRST_ID + (sent + np.arange(end - first)) // self._step
        _write_digits(self._buffer, self._ids_at[first:end], ids, _ID_DIGITS)
        times = np.full(end - first, ts_us // 1_000)
        _write_digits(self._buffer, self._times_at[first:end], times, _MS_DIGITS)

    def bytes_of(self, first: int, end: int) -> bytes:
        """Frames ``first`` to ``end`` as bytes to send."""
        return self._buffer[self._starts[first] : self._starts[end]].tobytes()


class Blast:
    """A websocket server that answers any SUBSCRIBE with all frames, ``repeat`` times.

    ``trades_per_s`` 0 means as fast as the client reads. Ids continue from the last connection.
    """

    def __init__(
        self,
        frames: int = 200_000,
        *,
        trades_per_s: float = 0.0,
        repeat: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        # Full rounds of the markets, so that ids stay consecutive when the frames are repeated.
        self._frames = Frames(-(-frames // len(BLAST_MARKETS)) * len(BLAST_MARKETS))
        self._trades_per_s = trades_per_s
        self.total = self._frames.count * repeat
        """Trades sent to each connection."""
        self._host, self._port = host, port
        self._server: Server | None = None
        self._sent = 0
        self.ws_url = ""
        """The value for COINWATCH_BINANCE_WS_URL."""

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve, self._host, self._port, compression=None, ping_interval=None, close_timeout=1
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        self.ws_url = f"ws://{host}:{port}/binance"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        sending: asyncio.Task[None] | None = None
        try:
            async for message in connection:
                request: dict[str, Any] = msgspec.json.decode(message)
                ack = msgspec.json.encode({"result": None, "id": request.get("id")})
                connection.transport.write(text_frame(ack))
                if sending is None and request.get("method") == "SUBSCRIBE":
                    sending = asyncio.create_task(self._send(connection))
        except ConnectionClosed:
            pass
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, connection: ServerConnection) -> None:
        frames, started, done = self._frames, time.perf_counter(), 0
        while done < self.total:
            first = done % frames.count
            wanted = _CHUNK_FRAMES
            if self._trades_per_s:
                wanted = int((time.perf_counter() - started) * self._trades_per_s) - done
                if wanted <= 0:
                    await asyncio.sleep(_TICK_S)
                    continue
            end = min(first + min(wanted, _CHUNK_FRAMES), frames.count)
            frames.renew(first, end, self._sent, now_us())
            connection.transport.write(frames.bytes_of(first, end))
            done += end - first
            self._sent += end - first
            await connection.drain()


def _samples(market: SimMarket) -> list[tuple[str, str, str]]:
    """Price, amount and maker flag of real simulated trades, as text."""
    minutes = 60
    while len(trades := trades_in_minutes(market, _SAMPLE_MINUTE, minutes)) < _SAMPLE_TRADES:
        minutes *= 2
    columns = (trades.price.tolist(), trades.amount.tolist(), trades.taker_buys.tolist())
    return [
        (f"{price:.8f}", f"{amount:.8f}", "false" if buys else "true")
        for price, amount, buys in zip(*columns, strict=True)
    ]


def _write_digits(buffer: NDArray[np.uint8], places: Ints, numbers: Ints, digits: int) -> None:
    """Write ``numbers`` as decimal text at their ``places``, one row per number."""
    left = numbers[:, None]
    for digit in range(digits - 1, -1, -1):
        rest = left // 10
        buffer[places + digit] = (left - rest * 10 + ord("0")).astype(np.uint8)
        left = rest


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Blast(
        arguments.frames,
        trades_per_s=arguments.trades_per_s,
        repeat=arguments.repeat,
        port=arguments.port,
    ) as blast:
        ready = {"ws_url": blast.ws_url, "trades": blast.total, "markets": list(map(str, BLAST_MARKETS))}
        print(msgspec.json.encode(ready).decode(), flush=True)  # noqa: T201  # read by the benchmark
        await stop.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first line printed is JSON with the address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000, help="number of distinct frames to prepare")
    parser.add_argument("--repeat", type=int, default=1, help="how many times to send all frames")
    parser.add_argument("--trades-per-s", type=float, default=0.0, help="0: as fast as the client reads")
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
