"""24-hour volumes of tickers: recorded rows, documented answers, bad rows and bad bodies."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage, Fatal
from sources.exchanges import EXCHANGES
from tests.sources import recorded

WITH_VOLUMES = {
    name: exchange for name, exchange in EXCHANGES.items() if exchange.volumes_request() is not None
}

DOCUMENTED = {
    "bitstamp": (
        b'[{"pair":"BTC/USD","last":"2211.00","vwap":"2000.50","volume":"10.0","market_type":"SPOT"}]',
        {"btcusd": 20_005.0},
    ),
    "coinbase": (
        b'{"ETH-BTC":{"stats_30day":{"volume":"311024.5"},"stats_24hour":{"open":"0.0723","high":"0.0745",'
        b'"low":"0.0716","volume":"62.5","last":"0.08"}},"OLD-USD":{"stats_30day":{"volume":"0"}}}',
        {"ETH-BTC": 5.0},
    ),
    "htx": (
        b'{"status":"ok","ts":1629789355531,"data":[{"symbol":"smtusdt","open":0.004659,"close":0.004574,'
        b'"amount":36551302.1,"vol":178526.0731285,"count":1709}]}',
        {"smtusdt": 178_526.0731285},
    ),
    "kraken": (
        b'{"error":[],"result":{"XXBTUSDQ":{"v":["1","2"],"p":["3","4"]},"XXBTUSDR":{"v":["1","3"],'
        b'"p":["3","4"]},"XXBTZUSD":{"v":["1","1"],"p":["3","4"]},"ZEURZUSD":{"v":["1","5"],"p":["3","1"]},'
        b'"USDTZUSD":{"v":["1","6"],"p":["3","1"]},"USDTEUR":{"v":["1","7"],"p":["3","1"]},'
        b'"XTZUSD":{"v":["1","8"],"p":["3","1"]}}}',
        {
            "XBTUSDQ": 8.0,
            "XBTUSDR": 12.0,
            "XBTUSD": 4.0,
            "EURUSD": 5.0,
            "USDTUSD": 6.0,
            "USDTEUR": 7.0,
            "XTZUSD": 8.0,
        },
    ),
    "okx": (
        b'{"code":"0","msg":"","data":[{"instType":"SPOT","instId":"BTC-USDT","last":"9999.99",'
        b'"volCcy24h":"2222.5","vol24h":"0.2"},{"instType":"SPOT","instId":"NEW-USDT","volCcy24h":""}]}',
        {"BTC-USDT": 2_222.5},
    ),
}
RECORDED = {
    "binance": ("rest_ticker_24hr_ethbtc.json", {"ETHBTC": 16_980.13811233}),
    "bybit": (
        "rest_tickers_spot.json",
        {"BTCUSDT": 146_073_704.01447217, "ETHUSDT": 86_080_563.3111, "ETHBTC": 19.311170759},
    ),
    "gateio": ("rest_tickers_btcusdt.json", {"BTC_USDT": 889_377_538.04358603}),
    "kraken": ("rest_ticker_xbtusdt.json", {"XBTUSDT": 163.28908096 * 105_904.39279}),
    "mexc": ("rest_ticker_24hr_btcusdt.json", {"BTCUSDT": 677_764_373.43}),
}


LISTED = {
    "binance": ("[{}]", '{{"symbol":"{}","quoteVolume":{}}}'),
    "bitstamp": ("[{}]", '{{"pair":"{}","volume":{},"vwap":"1"}}'),
    "bybit": ('{{"retCode":0,"result":{{"list":[{}]}}}}', '{{"symbol":"{}","turnover24h":{}}}'),
    "coinbase": ("{{{}}}", '"{}":{{"stats_24hour":{{"volume":{},"last":"1"}}}}'),
    "gateio": ("[{}]", '{{"currency_pair":"{}","quote_volume":{}}}'),
    "htx": ('{{"status":"ok","data":[{}]}}', '{{"symbol":"{}","vol":{}}}'),
    "kraken": ('{{"error":[],"result":{{{}}}}}', '"{}":{{"v":["1",{}],"p":["1","1"]}}'),
    "mexc": ("[{}]", '{{"symbol":"{}","quoteVolume":{}}}'),
    "okx": ('{{"code":"0","data":[{}]}}', '{{"instId":"{}","volCcy24h":{}}}'),
}
"""The least an answer is made of: a list, and the row of one market with its volume."""


def answer(name: str, *rows: tuple[str, str]) -> bytes:
    around, each = LISTED[name]
    return around.format(",".join(each.format(*row) for row in rows)).encode()


def test_all_exchanges_but_gemini_publish_volumes() -> None:
    assert EXCHANGES.keys() - WITH_VOLUMES.keys() == {"gemini"}
    assert DOCUMENTED.keys() | RECORDED.keys() == WITH_VOLUMES.keys()
    with pytest.raises(Fatal, match="does not publish volumes"):
        EXCHANGES["gemini"].decode_volumes(b"[]")
    for exchange in WITH_VOLUMES.values():
        request = exchange.volumes_request()
        assert request is not None
        assert request.cost <= exchange.rest_limit.capacity


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_tickers(recordings: Path, name: str) -> None:
    file, want = RECORDED[name]
    body = recorded.body(recordings / name / file)
    if name in ("binance", "mexc"):  # asked for one market, they answer without a list
        body = b"[" + body + b"]"
    assert EXCHANGES[name].decode_volumes(body) == pytest.approx(want)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_tickers(name: str) -> None:
    body, want = DOCUMENTED[name]
    assert EXCHANGES[name].decode_volumes(body) == pytest.approx(want)


def test_each_kraken_pair_is_known_by_the_name_its_list_has(recordings: Path) -> None:
    """Tickers have the keys of the list (``XXBTZUSD``), instruments its ``altname`` (``XBTUSD``)."""
    pairs = recorded.loads(recorded.body(recordings / "kraken" / "rest_asset_pairs.json"))["result"]
    spot = {key: pair["altname"] for key, pair in pairs.items() if not key.endswith(".d")}
    tickers = {key: {"v": ["1", "2"], "p": ["3", "4"]} for key in spot}
    body = json.dumps({"error": [], "result": tickers}).encode()
    assert EXCHANGES["kraken"].decode_volumes(body) == dict.fromkeys(spot.values(), 8.0)


@pytest.mark.parametrize("name", WITH_VOLUMES)
@pytest.mark.parametrize("bad", ["null", '""', '"-1"', '"nan"', "1e400", '"1e30"', "{}", "[]", "true"])
def test_an_unreadable_row_affects_no_other(name: str, bad: str) -> None:
    decode = EXCHANGES[name].decode_volumes
    assert decode(answer(name, ("x", "5"), ("y", bad), ("z", "0"))) == {"x": 5.0, "z": 0.0}
    with pytest.raises(BadMessage, match="none of 2 tickers can be read"):
        decode(answer(name, ("y", bad), ("z", bad)))
    assert decode(answer(name)) == {}


@pytest.mark.parametrize("name", WITH_VOLUMES)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"7", b'"x"', b"<html>", b'{"code":-1,"msg":"no"}', b"[" * 10**5]
)
def test_an_invalid_answer_is_a_bad_message(name: str, body: bytes) -> None:
    with pytest.raises(BadMessage):
        EXCHANGES[name].decode_volumes(body)


@pytest.mark.parametrize("name", WITH_VOLUMES)
@given(junk=st.binary(max_size=300), cut=st.integers(0, 60), at=st.integers(0, 60))
def test_random_input_raises_nothing_but_bad_messages(name: str, junk: bytes, cut: int, at: int) -> None:
    whole = answer(name, ("x", "5"), ("y", '"7"'))
    for body in (junk, whole[:-cut], whole[:at] + junk + whole[at:], whole[:at] + whole[at + cut :]):
        with suppress(BadMessage):
            decoded = EXCHANGES[name].decode_volumes(body)
            assert all(isinstance(native, str) and 0 <= volume < 1e18 for native, volume in decoded.items())
