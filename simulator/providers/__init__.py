"""Stand-ins for the providers of what is not traded."""

from simulator.providers.base import Provider
from simulator.providers.coingecko import CoinGecko
from simulator.providers.coinmarketcap import CoinMarketCap
from simulator.providers.defillama import DefiLlama

PROVIDERS: tuple[type[Provider], ...] = (CoinGecko, CoinMarketCap, DefiLlama)
