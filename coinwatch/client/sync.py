"""The client library for programs without an event loop: the same classes, with nothing to await.

with AlertClient("ws://127.0.0.1:9090/ws", name="my-bot", after=last_seen) as client:
    client.watch("btcusdt", above=70_000)
    for alert in client:
        print(alert.message, alert.price)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from coinwatch import client
from coinwatch.alerts import Alert, Condition
from coinwatch.client import Previewed, PriceUpdate, Watch, WatchedRule

T = TypeVar("T")


class _Loop:
    """An event loop in its own thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="coinwatch client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` there and wait for it; an interrupt while waiting cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            yield self.run(_next(items))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


class AlertClient:
    """``coinwatch.client.AlertClient`` for threads: one can wait for alerts while another sends commands."""

    def __init__(self, url: str, *, name: str | None = None, after: int | None = None) -> None:
        self._client = client.AlertClient(url, name=name, after=after)

    @property
    def last_event_id(self) -> int | None:
        """The value of ``after`` for the next client; None before the first connection."""
        return self._client.last_event_id

    @property
    def watches(self) -> list[Watch]:
        """The watches made by this client that have not ended."""
        return self._client.watches

    def __enter__(self) -> Self:
        """Connect. Raises EndpointUnreachable if that fails, CommandRefused if the client is rejected."""
        self._loop = _Loop()
        try:
            self._loop.run(self._client.__aenter__())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._client.__aexit__())
        self._loop.close()

    def __iter__(self) -> Iterator[Alert]:
        return self._loop.iterate(aiter(self._client))

    def watch(
        self,
        symbol: str | None = None,
        *,
        above: float | None = None,
        below: float | None = None,
        condition: Condition | Mapping[str, Any] | None = None,
        note: str | None = None,
        **terms: Any,
    ) -> Watch:
        """See ``coinwatch.client.AlertClient.watch``."""
        return self._loop.run(
            self._client.watch(symbol, above=above, below=below, condition=condition, note=note, **terms)
        )

    def unwatch(self, rule_id: int) -> None:
        """Stop a watch. Raises as ``watch``."""
        self._loop.run(self._client.unwatch(rule_id))

    def snooze(
        self, rule_id: int, for_: str | int | None = None, *, until: datetime | None = None
    ) -> WatchedRule:
        """Snooze a watch for a length of time, such as ``1h``, or until a time. Raises as ``watch``."""
        return self._loop.run(self._client.snooze(rule_id, for_, until=until))

    def resume(self, rule_id: int) -> WatchedRule:
        """End a snooze, or a pause for firing too often. Raises as ``watch``."""
        return self._loop.run(self._client.resume(rule_id))

    def rules(self) -> list[WatchedRule]:
        """The rules of this client that have not ended. Raises as ``watch``."""
        return self._loop.run(self._client.rules())

    def preview(
        self,
        symbol: str | None = None,
        *,
        since: str | datetime,
        until: datetime | None = None,
        above: float | None = None,
        below: float | None = None,
        condition: Condition | Mapping[str, Any] | None = None,
        note: str | None = None,
        **terms: Any,
    ) -> Previewed:
        """See ``coinwatch.client.AlertClient.preview``."""
        return self._loop.run(
            self._client.preview(
                symbol,
                since=since,
                until=until,
                above=above,
                below=below,
                condition=condition,
                note=note,
                **terms,
            )
        )


class PriceStream:
    """``coinwatch.client.PriceStream`` for threads."""

    def __init__(
        self,
        url: str,
        currencies: Sequence[str] = ("USD",),
        *,
        symbol: str = "BTC",
        since: datetime | None = None,
        interval_s: int = 5,
        meta: bool = False,
    ) -> None:
        self._stream = client.PriceStream(
            url, currencies, symbol=symbol, since=since, interval_s=interval_s, meta=meta
        )

    def __enter__(self) -> Self:
        """Connect. Raises CommandRefused if the stream is refused, EndpointUnreachable if that fails."""
        self._loop = _Loop()
        try:
            self._loop.run(self._stream.__aenter__())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._stream.__aexit__())
        self._loop.close()

    def __iter__(self) -> Iterator[PriceUpdate]:
        return self._loop.iterate(aiter(self._stream))
