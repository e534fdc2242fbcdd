"""The supported exchanges by name, one module each. A new one starts from ``_template.py``."""

from __future__ import annotations

from sources.exchanges.base import Exchange
from sources.exchanges.binance import Binance
from sources.exchanges.bitstamp import Bitstamp
from sources.exchanges.bybit import Bybit
from sources.exchanges.coinbase import Coinbase
from sources.exchanges.gateio import Gateio
from sources.exchanges.gemini import Gemini
from sources.exchanges.htx import Htx
from sources.exchanges.kraken import Kraken
from sources.exchanges.mexc import Mexc
from sources.exchanges.okx import Okx

EXCHANGES: dict[str, Exchange] = {
    exchange.name: exchange
    for exchange in (
        Binance(),
        Bitstamp(),
        Bybit(),
        Coinbase(),
        Gateio(),
        Gemini(),
        Htx(),
        Kraken(),
        Mexc(),
        Okx(),
    )
}
