"""OKX v5 spot: websocket ``trades-all``, REST api/v5. All public, no key."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import ClassVar, Literal

import msgspec

from coinwatch.errors import BadMessage, Fatal
from coinwatch.intervals import Interval
from coinwatch.records import Candle, Instrument, Market, Trade
from coinwatch.times import SECOND_US
from coinwatch.windows import Window
from sources.exchanges import base
from sources.exchanges.base import (
    Decoded,
    Decoder,
    Exchange,
    Paging,
    RateLimit,
    Rejected,
    RestRequest,
    Skipped,
)
from sources.rows import CandleRow, TradeRow, candles, instrument, instruments, read_rows, trades, volumes
from sources.wire import UNREADABLE, bad_frame, is_trade, read

_CHANNEL = "trades-all"
"""Every trade. ``trades`` merges the trades of one order at one price under the last id."""
_MS_US = 1_000
_BARS = {
    Interval.M1: "1m",
    Interval.M5: "5m",
    Interval.M15: "15m",
    Interval.H1: "1H",
    Interval.H4: "4H",
    Interval.D1: "1Dutc",
}
_WILL_CLOSE = "64008"
"""The code of the notice before the connection is closed."""
_NAMED = re.compile(r"instId:\s*([A-Z0-9]+-[A-Z0-9]+)")


class _Argument(msgspec.Struct, rename="camel"):
    channel: str = ""
    inst_id: str = ""


class _Trade(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    trade_id: int
    px: float
    sz: float
    side: Literal["buy", "sell"]
    ts: int


class _TradeFrame(msgspec.Struct, gc=False):
    arg: _Argument
    data: list[_Trade]


class _Other(msgspec.Struct):
    arg: _Argument | None = None
    event: str = ""
    code: str = ""
    msg: str = ""


class _CandleRow(msgspec.Struct, array_like=True, gc=False):
    start_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    volume_currency: float
    quote_volume: float


class _Pair(msgspec.Struct, rename="camel"):
    inst_id: str
    base_ccy: str
    quote_ccy: str
    tick_sz: float | Literal[""]
    lot_sz: float | Literal[""]
    state: str
    list_time: int | Literal[""] = ""


class _Ticker(msgspec.Struct, rename="camel", gc=False):
    inst_id: str
    vol_ccy24h: float = msgspec.field(name="volCcy24h")


class _Answer(msgspec.Struct):
    code: str
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


_TRADE_CHANNELS = (_CHANNEL, "trades")
_KINDS = {"tickers": base.TICKER}

# Numbers arrive as JSON strings: strict=False parses them in the same pass.
_read_frame = msgspec.json.Decoder(_TradeFrame, strict=False).decode
_read_other = msgspec.json.Decoder(_Other).decode
_read_answer = msgspec.json.Decoder(_Answer).decode
_read_candles = msgspec.json.Decoder(list[_CandleRow], strict=False).decode
_read_trades = msgspec.json.Decoder(list[_Trade], strict=False).decode
_read_pairs = msgspec.json.Decoder(list[_Pair], strict=False).decode
_read_ticker = msgspec.json.Decoder(_Ticker, strict=False).decode
_encode = msgspec.json.encode


class Okx(Exchange):
    """The spot markets of OKX."""

    name: ClassVar[str] = "okx"
    # OKX allows 20 requests in two seconds per address and kind: a full bucket and its refill stay below.
    rest_limit: ClassVar[RateLimit] = RateLimit(5, 7)
    markets_per_socket: ClassVar[int] = 100
    max_silence_s: ClassVar[float] = 12
    keepalive_s: ClassVar[float | None] = 5  # OKX closes the socket after 30 s without one
    candles_per_request: ClassVar[int] = 300
    candles_late_us: ClassVar[int] = 120 * SECOND_US  # a closed candle can take a minute to appear
    trades_per_request: ClassVar[int] = 100
    trade_paging: ClassVar[Paging] = Paging.BEFORE_ID
    consecutive_ids: ClassVar[bool] = True
    throttled_errors: ClassVar[tuple[str, ...]] = ("50011:", "50061:")
    passing_errors: ClassVar[tuple[str, ...]] = ("50001:", "50004:", "50013:", "50026:")

    def native(self, market: Market) -> str:
        """``BTC-USDT``"""
        return str(market.symbol)

    def stream_url(self, root: str) -> str:
        return f"{root}/ws/v5/business"

    def subscribe(self, markets: Sequence[Market]) -> list[bytes]:
        """``{"op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"}]}``

        One frame per market, so that an unknown one does not affect the others.
        """
        return [self._frame("subscribe", market) for market in markets]

    def unsubscribe(self, markets: Sequence[Market]) -> list[bytes]:
        return [self._frame("unsubscribe", market) for market in markets]

    def _frame(self, op: str, market: Market) -> bytes:
        return _encode({"op": op, "args": [{"channel": _CHANNEL, "instId": self.native(market)}]})

    def keepalive(self) -> bytes | None:
        """Answered by ``pong``, which is not JSON."""
        return b"ping"

    def decoder(self, markets: Collection[Market]) -> Decoder:
        """Decodes one or more trades per frame; ``side`` is the taker's::

        {"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT",
         "tradeId":"338476307","px":"30236","sz":"0.0002","side":"buy","ts":"1652459224818"}]}
        """
        market_of = self.by_native(markets).get

        def decode(frame: bytes | memoryview) -> Decoded:
            try:
                sent = _read_frame(frame)
            except UNREADABLE:
                return _decode_other(frame)
            if sent.arg.channel not in _TRADE_CHANNELS:
                return _decode_other(frame)
            decoded = []
            for trade in sent.data:
                ts_us = trade.ts * _MS_US
                if not is_trade(trade.trade_id, ts_us, trade.px, trade.sz):
                    raise bad_frame("okx", "trade with impossible numbers", frame)
                market = market_of(trade.inst_id)
                if market is not None:
                    decoded.append(
                        Trade(market, trade.trade_id, ts_us, trade.px, trade.sz, trade.side == "buy")
                    )
            return decoded or (base.OTHER_MARKET if sent.data else Skipped("empty"))

        return decode

    def candles_request(self, market: Market, interval: Interval, window: Window) -> RestRequest:
        return RestRequest(
            "/api/v5/market/history-candles",
            {
                "instId": self.rest_native(market),
                "bar": _BARS[interval],
                "before": str(window.start_us // _MS_US - 1),  # both ends are exclusive
                "after": str(window.end_us // _MS_US),
                "limit": str(self.candles_per_request),
            },
        )

    def decode_candles(self, market: Market, interval: Interval, body: bytes) -> list[Candle]:
        """Newest first; time, open, high, low, close, volume, quote volume twice, closed or not:
        ``{"code":"0","msg":"","data":[["1747094040000","102806.1","102820.4","102806.1","102820.4",
        "10.4037","1069603.3","1069603.3","1"]]}``; rows without a trade have no volume.
        """
        what = f"{market} candles"
        rows = (
            CandleRow(
                row.start_ms * _MS_US,
                row.open,
                row.high,
                row.low,
                row.close,
                row.volume,
                row.quote_volume,
                None if row.volume else 0,
            )
            for row in read(self.name, what, _read_candles, self._data(body, what))
        )
        return candles(market, interval, rows, body)

    def trades_request(
        self,
        market: Market,
        *,
        from_id: int | None = None,
        since_us: int | None = None,
        before_id: int | None = None,
    ) -> RestRequest:
        if from_id is not None or since_us is not None:
            raise Fatal(self.name, "serves trades backwards by id, not forward")
        params = {
            "instId": self.rest_native(market),
            "type": "1",
            "limit": str(self.trades_per_request),
        }
        if before_id is not None:
            params["after"] = str(before_id)
        return RestRequest("/api/v5/market/history-trades", params)

    def decode_trades(self, market: Market, body: bytes) -> list[Trade]:
        """Newest first; ``side`` is the taker's: ``{"code":"0","msg":"","data":[{"instId":"BTC-USDT",
        "side":"sell","sz":"0.00013669","px":"102537.9","tradeId":"734864333","ts":"1747087163557"}]}``
        """
        what = f"{market} trades"
        sent = read(self.name, what, _read_trades, self._data(body, what))
        rows = (
            TradeRow(row.trade_id, row.ts * _MS_US, row.px, row.sz, row.side == "buy")
            for row in sorted(sent, key=_id)
        )
        return trades(market, rows, body)

    def instruments_request(self) -> RestRequest:
        return RestRequest("/api/v5/public/instruments", {"instType": "SPOT"})

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """``{"code":"0","data":[{"instId":"BTC-USDT","baseCcy":"BTC","quoteCcy":"USDT",
        "tickSz":"0.1","lotSz":"0.00000001","listTime":"1548133413000",
        "state":"live"}]}``
        """
        pairs = read(self.name, "instruments", _read_pairs, self._data(body, "instruments"))
        return instruments(
            instrument(
                self.name,
                pair.base_ccy,
                pair.quote_ccy,
                pair.inst_id,
                active=pair.state == "live",
                price_step=pair.tick_sz or None,
                amount_step=pair.lot_sz or None,
                listed_us=pair.list_time * _MS_US if pair.list_time else None,
            )
            for pair in pairs
        )

    def volumes_request(self) -> RestRequest:
        """Documented on the page "Get tickers"."""
        return RestRequest("/api/v5/market/tickers", {"instType": "SPOT"})

    def decode_volumes(self, body: bytes) -> dict[str, float]:
        """``{"code":"0","data":[{"instType":"SPOT","instId":"BTC-USDT","last":"9999.99",
        "volCcy24h":"2222","vol24h":"2222"}]}``

        For spot markets ``volCcy24h`` is in the quote asset and ``vol24h`` in the base asset.
        """
        rows = read(self.name, "tickers", read_rows, self._data(body, "tickers"))
        return volumes(self.name, rows, _volume, body)

    def error_in(self, body: bytes) -> str | None:
        """``{"code":"51001","msg":"Instrument ID does not exist","data":[]}``, with HTTP status 200."""
        try:
            answer = _read_answer(body)
        except UNREADABLE:
            return None  # the decoder reports what is wrong
        return None if answer.code == "0" else f"{answer.code}: {answer.msg}"

    def _data(self, body: bytes, what: str) -> bytes:
        """The rows of an answer."""
        error = self.error_in(body)
        if error is not None:
            raise BadMessage(self.name, f"{what}: {error}", body)
        return bytes(read(self.name, what, _read_answer, body).data)


def _id(trade: _Trade) -> int:
    return trade.trade_id


def _volume(row: msgspec.Raw) -> tuple[str, float]:
    ticker = _read_ticker(row)
    return ticker.inst_id, ticker.vol_ccy24h


def _decode_other(frame: bytes | memoryview) -> Skipped | Rejected:
    """Decode any frame that is not a valid trade frame."""
    if frame == b"pong":
        return base.PONG
    try:
        other = _read_other(frame)
        if other.arg is not None and other.arg.channel in _TRADE_CHANNELS and not other.event:
            _read_frame(frame)  # raises with the reason
    except UNREADABLE as error:
        raise bad_frame("okx", str(error), frame) from error
    if other.event == "error":
        named = _NAMED.search(other.msg)
        return Rejected(named and named.group(1), other.msg)
    if other.event == "notice":
        return base.SHUTDOWN if other.code == _WILL_CLOSE else base.STATUS
    if other.event:
        return base.ACK
    channel = "" if other.arg is None else other.arg.channel
    return base.BOOK if channel.startswith(("books", "bbo")) else _KINDS.get(channel, base.OTHER)
