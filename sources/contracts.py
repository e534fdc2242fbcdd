"""Contract addresses of the coins an exchange trades, which identify coins that share a ticker.

Of the supported exchanges, Gate.io serves them without a key and in one request: page "Query all
currency information" of its API v4.
"""

from __future__ import annotations

from coinwatch.assets import plain_contract
from coinwatch.errors import BadMessage
from sources.exchanges.base import RestRequest
from sources.providers.lenient_fields import json_of, name

EXCHANGE = "gateio"


def contracts_request() -> RestRequest:
    """The request for all currencies; the answer has a few megabytes."""
    return RestRequest("/api/v4/spot/currencies")


def decode_contracts(body: bytes) -> dict[str, frozenset[str]]:
    """``[{"currency":"LINK","name":"Chainlink","delisted":false,"chains":[{"name":"ETH","addr":"0x5149…"}]}]``

    Returns addresses by ticker, for currencies that have any. Raises BadMessage.
    """
    rows = json_of(EXCHANGE, body)
    if not isinstance(rows, list):
        raise BadMessage(EXCHANGE, "the answer is not a list of currencies", body)
    contracts: dict[str, frozenset[str]] = {}
    for row in rows:
        ticker = name(row.get("currency")) if isinstance(row, dict) else None
        chains = row.get("chains") if ticker else None
        if not (ticker and isinstance(chains, list)):
            continue
        listed = (name(chain.get("addr")) for chain in chains if isinstance(chain, dict))
        addresses = frozenset(plain_contract(address) for address in listed if address)
        if addresses:
            contracts[ticker.upper()] = addresses
    return contracts
