"""Requests to the simulated exchanges without a server, all at one time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coinwatch.records import Market
from coinwatch.times import MINUTE_US
from simulator.exchanges.base import Answer, Refused, Row, Session, Venue
from simulator.history import History
from simulator.markets import SimMarket, sim_markets

MARKETS, HISTORY = sim_markets(60), History()
NOW_MINUTE = 29_400_017
NOW_US = NOW_MINUTE * MINUTE_US + 33_123_456
NOW_S = NOW_US // 1_000_000


class Here:
    """A stream that remembers who joined; five trades have passed."""

    def __init__(self) -> None:
        self.joined: list[tuple[str, str]] = []

    def join(self, channel: str, market: SimMarket) -> int:
        self.joined.append((channel, str(market.market)))
        return 5

    def leave(self, channel: str, market: SimMarket) -> None:
        self.joined.remove((channel, str(market.market)))

    def last_id(self, market: SimMarket) -> int:
        return 5


def ask(venue: Venue, path: str, **params: object) -> Any:
    return json.loads(full(venue, path, **params).body)


def full(venue: Venue, path: str, **params: object) -> Answer:
    return venue.rest(path, {name: str(value) for name, value in params.items()}, NOW_US)


def refusal(venue: Venue, path: str, **params: object) -> tuple[int, Any]:
    with pytest.raises(Refused) as caught:
        full(venue, path, **params)
    return caught.value.answer.status, json.loads(caught.value.answer.body)


def open_session(venue: Venue, path: str = "", **params: str) -> tuple[Session, Here]:
    here = Here()
    session = venue.session(path, params, here)
    assert session is not None
    return session, here


def send(session: Session, message: object) -> list[Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return [json.loads(frame) for frame in session.receive(text, NOW_US)]


def live(venue: Venue, channel: str, name: str) -> list[Any]:
    market = MARKETS[Market.canonical(name)]
    trades = [Row(7, NOW_US, 60_000.5, 0.125, True), Row(8, NOW_US, 60_001.5, 2.0, False)]
    return [json.loads(frame) for frame in venue.frames(channel, market, trades, NOW_US)]
