"""A stream of prices that reconnects by itself and continues where it was interrupted."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from coinwatch.client.opening import Opener, raise_if_rejected
from coinwatch.errors import BadMessage
from coinwatch.times import from_datetime, to_datetime

log = logging.getLogger(__name__)


class PriceUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A price at a time of the grid. Fields from ``pair`` on are set only in a stream with ``meta``."""

    ts_us: int
    """UTC microseconds; a whole multiple of the stream's interval."""
    currency: str
    price: float
    pair: str | None = None
    """The pair of the average: USDT may stand for USD."""
    stale: bool = False
    """Whether a newer average is missing: sources are down."""
    age_s: float | None = None
    """How much older than ``ts_us`` the average is."""
    exchanges: tuple[str, ...] = ()


class PriceStream:
    """Iterate over it for updates. Use it as a context manager; it reconnects for as long as it is open.

    ``url`` is that of ``/prices``. ``since``, a datetime with a zone, replays stored updates from there on;
    None sends only new ones. After an interruption it continues behind the last update: none is missing and
    none comes twice.
    """

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
        self._url = url
        self._opener = Opener()
        self._currencies = [currency.upper() for currency in currencies]
        self._asked: list[tuple[str, str | int]] = [
            *(("currency", currency) for currency in self._currencies),
            *(("symbol", symbol), ("interval", interval_s), ("meta", int(meta))),
        ]
        self._since_us = None if since is None else from_datetime(since)
        self._last_us: dict[str, int] = {}
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises CommandRefused if the stream is refused, EndpointUnreachable if that fails."""
        self._socket = await self._opener.open(self._address())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def __aiter__(self) -> AsyncGenerator[PriceUpdate, None]:
        """Raises CommandRefused if the interruption is too long to replay, or the client is rejected."""
        while True:
            if self._socket is None:
                self._socket = await self._opener.open_again(self._address)
            try:
                async for frame in self._socket:
                    update = read_update(frame, self._currencies[0])
                    if update.ts_us > self._last_us.get(update.currency, -1):
                        self._last_us[update.currency] = update.ts_us
                        yield update
            except ConnectionClosed:
                pass
            raise_if_rejected(self._socket)
            reason = f"{self._socket.close_code} {self._socket.close_reason or ''}".strip()
            log.warning("connection to %s lost (%s); reconnecting", self._url, reason)
            self._socket = None

    def _address(self) -> str:
        since_us = min(self._last_us.values(), default=self._since_us)
        asked = self._asked
        if since_us is not None:
            asked = [*asked, ("since_date", to_datetime(since_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))]
        return f"{self._url}?{urlencode(asked)}"


class _Frame(msgspec.Struct):
    timedate: datetime
    price: float
    currency: str | None = None
    pair: str | None = None
    stale: bool = False
    age_s: float | None = None
    exchanges: tuple[str, ...] = ()


_frames = msgspec.json.Decoder(_Frame)


def read_update(frame: str | bytes, currency: str) -> PriceUpdate:
    """Read an update of a stream whose first currency is ``currency``. Raises BadMessage."""
    try:
        decoded = _frames.decode(frame)
        fields: dict[str, Any] = {name: getattr(decoded, name) for name in _Frame.__struct_fields__[3:]}
        return PriceUpdate(
            ts_us=from_datetime(decoded.timedate),
            currency=decoded.currency or currency,
            price=decoded.price,
            **fields,
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadMessage("prices", f"not an update of a price: {error}", frame) from None
