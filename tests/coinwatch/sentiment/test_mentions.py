"""Which assets a text names: whole words, the longest name, tickers that are words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.sentiment.mentions import NAMES_THAT_ARE_WORDS, TICKERS_THAT_ARE_WORDS, WELL_KNOWN, Mentions

MENTIONS = Mentions(
    {
        "BTC": ("Bitcoin",),
        "NEAR": ("NEAR Protocol",),
        "ONE": ("Harmony",),
        "SUI": ("Sui",),
        "PEPE": ("Pepe",),
        "1INCH": ("1inch",),
        "USDT": (),
    }
)


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("Bitcoin and ether rise", ["BTC", "ETH"]),
        ("bitcoin's worst day", ["BTC"]),
        ("Bitcoiners meet; BTCs; unbitcoin", []),
        ("BTC/USDT hits a record", ["BTC", "USDT"]),
        ("btc is not written so", []),
        ("$btc and $eth, $xyz", ["BTC", "ETH"]),
        ("Bitcoin Cash forks", ["BCH"]),
        ("Bitcoin Cash and Bitcoin part", ["BCH", "BTC"]),
        ("Wrapped\nBitcoin on Ethereum Classic", ["ETC", "WBTC"]),
        ("One step NEAR the LINK", []),
        ("$LINK leads, $one follows", ["LINK", "ONE"]),
        ("Chainlink and Near Protocol", ["LINK", "NEAR"]),
        ("In Harmony with regulators", []),
        ("An avalanche of orders", []),
        ("Avalanche of orders? No: Avalanche the chain", ["AVAX"]),
        ("SEC SUES EXCHANGE OVER XRP AND SUI", ["SUI"]),
        ("BITCOIN RALLIES ABOVE ALL", ["BTC"]),
        ("1inch grows, 21inch does not", ["1INCH"]),
        ("Ripple wins; a ripple effect", ["XRP"]),
        ("\u017folana is written with an s", []),
        ("", []),
    ],
)
def test_mentions_of_assets(text: str, bases: list[str]) -> None:
    assert list(MENTIONS.of(text)) == bases


def test_names_of_providers_are_added_to_those_known() -> None:
    assert Mentions({}).of("Bitcoin and Solana") == ("BTC", "SOL")
    assert Mentions({"SOL": ("Solana",), "HYPE": ("Hyperliquid",)}).of("Hyperliquid on Solana") == (
        "HYPE",
        "SOL",
    )


def test_a_name_equal_to_another_ticker_does_not_match() -> None:
    """A coin named like the ticker of another coin does not match that ticker."""
    assert Mentions({"FAKE": ("BTC",)}).of("BTC rises") == ("BTC",)


def test_lists_of_words_have_one_case() -> None:
    assert all(word == word.upper() for word in TICKERS_THAT_ARE_WORDS)
    assert all(word == word.lower() for word in NAMES_THAT_ARE_WORDS)


@given(
    st.text(max_size=60),
    st.dictionaries(
        st.text(min_size=1, max_size=6).map(str.upper), st.lists(st.text(max_size=12), max_size=2)
    ),
)
def test_any_text_and_any_names_yield_known_tickers(text: str, names: dict[str, list[str]]) -> None:
    mentioned = Mentions(names).of(text)
    assert list(mentioned) == sorted(set(mentioned))
    assert set(mentioned) <= {*names, *WELL_KNOWN}
