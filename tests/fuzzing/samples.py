"""Valid frames and answers of all exchanges and providers: simulated, and recorded where recordings are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from coinwatch.intervals import Interval
from coinwatch.records import Market
from coinwatch.times import MINUTE_US
from coinwatch.windows import Window
from simulator.exchanges.base import Refused, Row, Venue
from simulator.providers import PROVIDERS
from simulator.providers.base import Provider
from simulator.server import VENUES
from sources.exchanges.base import Exchange, RestRequest
from tests.conftest import PROJECT
from tests.simulator.asking import HISTORY, MARKETS, NOW_US, Here
from tests.sources import recorded

ROWS = 12
"""Lists and objects of JSON answers keep so many members: most of their bytes repeat each other."""
_FOLDER = Path(os.environ.get("COINWATCH_RECORDINGS", PROJECT.parent / "shared" / "recordings"))
_VENUES: dict[str, Venue] = {venue.name: venue(MARKETS, HISTORY) for venue in VENUES}
_SIMULATED: dict[str, Provider] = {make.name: make(MARKETS, HISTORY) for make in PROVIDERS}


def market_of(exchange: Exchange) -> Market:
    """A market that is simulated there."""
    return min(market for market in MARKETS if market.exchange == exchange.name)


def frames(exchange: Exchange) -> list[bytes]:
    """Frames of a stream: answers to a subscription, heartbeats, trades, and recorded ones."""
    return [*_simulated_frames(exchange), *_recorded_frames(exchange.name)]


def answers(exchange: Exchange) -> list[bytes]:
    """Answers of the REST API: candles, trades, markets, volumes, and recorded ones."""
    market, now_us = market_of(exchange), NOW_US - MINUTE_US
    window = Window(now_us - 20 * MINUTE_US, now_us)
    asked = [
        exchange.candles_request(market, Interval.M1, window),
        exchange.newest_trades_requests(market)[0],
        exchange.instruments_request(),
        exchange.volumes_request(),
    ]
    simulated = [_ask(_VENUES[exchange.name], request) for request in asked if request is not None]
    return [body for body in (*simulated, *_recorded_answers(exchange.name)) if body]


def provided(name: str, *requests: RestRequest) -> list[bytes]:
    """Answers of a simulated provider."""
    return [body for request in requests if (body := _ask(_SIMULATED[name], request))]


def _ask(of: Venue | Provider, request: RestRequest) -> bytes:
    with suppress(Refused):
        if isinstance(of, Venue):
            return _shortened(of.rest(request.path, request.params, NOW_US).body)
        return _shortened(of.rest(request.path, request.params, {}, NOW_US).body)
    return b""


def _simulated_frames(exchange: Exchange) -> Iterator[bytes]:
    venue, market = _VENUES[exchange.name], market_of(exchange)
    path = urlsplit(exchange.stream_url("ws://x")).path
    here = Here()
    session = venue.session(path, {}, here)
    assert session is not None
    yield from session.opening(NOW_US)
    for request in exchange.subscribe([market]):
        yield from session.receive(request.decode(), NOW_US)
    yield from session.heartbeats(NOW_US, idle=True)
    trades = [Row(7, NOW_US, 60_000.5, 0.125, True), Row(8, NOW_US, 60_001.5, 2.0, False)]
    for channel, _ in here.joined:
        yield from venue.frames(channel, MARKETS[market], trades, NOW_US)
    if (shutdown := venue.shutdown(NOW_US)) is not None:
        yield shutdown


def _recorded_frames(name: str) -> list[bytes]:
    paths = sorted((_FOLDER / name).glob("ws_*.jsonl"))
    return [frame for path in paths for frame in recorded.frames(path)[:60]]


def _recorded_answers(name: str) -> list[bytes]:
    return [_shortened(recorded.body(path)) for path in sorted((_FOLDER / name).glob("rest_*.json"))]


def _shortened(body: bytes) -> bytes:
    try:
        return msgspec.json.encode(_first(msgspec.json.decode(body)))
    except msgspec.MsgspecError:  # a feed or a page
        return body


def _first(value: Any) -> Any:
    if isinstance(value, list):
        return [_first(item) for item in value[:ROWS]]
    if isinstance(value, dict):
        return {name: _first(value[name]) for name in list(value)[: 4 * ROWS]}
    return value
