"""The real exchanges, where there is a network: their lists and tickers can be read and fit together."""

from __future__ import annotations

import pytest

from coinwatch.records import MarketStatus
from coinwatch.settings import Settings
from sources.budgets import LocalBudget
from sources.exchanges import EXCHANGES
from sources.http import exchange_http

pytestmark = pytest.mark.live


@pytest.mark.parametrize("name", EXCHANGES)
async def test_volumes_are_of_listed_markets(name: str) -> None:
    exchange = EXCHANGES[name]
    async with exchange_http(exchange, Settings(_env_file=None).rest_url(name), LocalBudget()) as client:
        listed = exchange.decode_instruments((await client.get(exchange.instruments_request())).body)
        active = {entry.native for entry in listed if entry.status is MarketStatus.ACTIVE}
        assert len(active) > 20
        request = exchange.volumes_request()
        if request is None:
            return
        volumes = exchange.decode_volumes((await client.get(request)).body)
    assert 2 * len(active & volumes.keys()) > len(active)
    assert max(volumes.values()) > 0
