"""Simulated providers of fundamentals, sentiment and news."""

from simulator.providers.alternative import Alternative
from simulator.providers.base import Provider
from simulator.providers.coingecko import CoinGecko
from simulator.providers.coinmarketcap import CoinMarketCap
from simulator.providers.defillama import DefiLlama
from simulator.providers.gdelt import Gdelt
from simulator.providers.news import News
from simulator.providers.telegram import Telegram
from simulator.providers.x import X

PROVIDERS: tuple[type[Provider], ...] = (
    *(CoinGecko, CoinMarketCap, DefiLlama),
    *(Alternative, Gdelt, News, Telegram, X),
)
