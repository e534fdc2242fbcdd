"""Assets to store, and an hour to store them of."""

from __future__ import annotations

from datetime import UTC, datetime

from coinwatch.assets import Coin
from coinwatch.times import from_datetime

HOUR_US = from_datetime(datetime(2026, 11, 20, 10, tzinfo=UTC))
BITCOIN, ETHER = Coin("bitcoin", "BTC", "Bitcoin"), Coin("ethereum", "ETH", "Ethereum")
CAT = Coin("simon-s-cat", "CAT", "Simon's Cat", {"ethereum": "0xcafe", "solana": "CatXyz"})
