"""A simulated DefiLlama: "/protocols", "/lite/protocols2" and "/v2/chains".

By api-docs.defillama.com; never compared with the real one, of which there are no recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simulator.exchanges.base import Answer, Refused, encode
from simulator.providers.base import Provider
from simulator.providers.coins import sim_coins

CHAINS: Final = {"ETH": 0.17, "SOL": 0.10, "AVAX": 0.12, "TRX": 0.20, "BNB": 0.08}
"""The share of its market cap locked in each chain."""


PARENTS: Final = [
    {"id": "parent#staking", "name": "Staking", "gecko_id": "chainlink"},
    {"id": "parent#uniswap", "name": "Uniswap", "gecko_id": "uniswap"},
]
"""Parent protocols; the entries of one of them name no coin."""


class DefiLlama(Provider):
    name = "defillama"

    def rest(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], now_us: int) -> Answer:
        if path == "/protocols":
            return Answer(encode(_protocols(now_us)))
        if path == "/lite/protocols2":
            return Answer(encode({"protocols": [], "parentProtocols": PARENTS}))
        if path == "/v2/chains":
            return Answer(encode(_chains(now_us)))
        raise Refused(Answer(b'{"message":"Not Found"}', 404))


def _chains(now_us: int) -> list[dict[str, Any]]:
    return [
        {
            "gecko_id": coin.id,
            "tvl": coin.price(now_us) * coin.circulating * CHAINS[coin.symbol],
            "tokenSymbol": coin.symbol,
            "cmcId": str(coin.cmc_id),
            "name": coin.name,
            "chainId": None,
        }
        for coin in sim_coins().values()
        if coin.symbol in CHAINS and coin.copy_of is None and coin.cmc_id
    ]


def _protocols(now_us: int) -> list[dict[str, Any]]:
    """Two versions of a protocol, one with its coin's id; an exchange; a protocol without a coin."""
    link = sim_coins()["chainlink"].price(now_us)
    return [
        _protocol("Staking v2", "chainlink", 9e7 * link, parent="parent#staking"),
        _protocol("Staking v1", None, 1e7 * link, parent="parent#staking"),
        _protocol("Uniswap V3", None, 1.6e9, parent="parent#uniswap", category="Dexs"),
        _protocol("Uniswap V2", None, 1e9, parent="parent#uniswap", category="Dexs"),
        _protocol("Binance CEX", "binancecoin", 1.6e11, category="CEX"),
        _protocol("Nameless Swap", None, 4.2e7),
        _protocol("Broken Farm", "sample-coin-7", -3.0),
    ]


def _protocol(
    name: str, coin: str | None, tvl: float, *, parent: str | None = None, category: str = "Staking Pool"
) -> dict[str, Any]:
    return {
        "id": name.lower().replace(" ", "-"),
        "name": name,
        "symbol": "-",
        "gecko_id": coin,
        "parentProtocol": parent,
        "category": category,
        "chains": ["Ethereum"],
        "tvl": tvl,
        "change_1d": 0.4,
        "mcap": None,
    }
