"""Which asset a base is, and which coins of two providers are the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fundamentals.mapping import (
    AGREES,
    CONTRADICTS,
    OUTWEIGHS,
    Base,
    Candidate,
    Decision,
    decide,
    dollar_prices,
    same_coin,
)

PRICES = st.sampled_from([0.9, 0.99, 1.0, 1.001, 1.02, 1.1, 1.5, 40.0]) | st.floats(1e-9, 1e9)
CANDIDATE = st.builds(
    Candidate,
    id=st.sampled_from("abcdefg"),
    price_usd=st.none() | PRICES,
    market_cap_usd=st.none() | st.floats(1, 1e12),
    contracts=st.sets(st.sampled_from(["0x1", "0x2", "0x3"])).map(tuple),
)
CANDIDATES = st.lists(CANDIDATE, max_size=6, unique_by=lambda candidate: candidate.id)


@st.composite
def bases(draw: st.DrawFn) -> Base:
    before = draw(st.none() | st.sampled_from("abcdefg"))
    return Base(
        base="CAT",
        price_usd=draw(st.none() | PRICES),
        contracts=draw(st.sets(st.sampled_from(["0x1", "0x2", "0x9"]), max_size=1)),
        previous=Decision(base="CAT", asset_id=before, by="price", reason="once") if before else None,
    )


def distance(price: float, other: float) -> float:
    return max(price, other) / min(price, other) - 1


@given(bases(), CANDIDATES)
def test_no_decision_contradicts_our_price(base: Base, candidates: list[Candidate]) -> None:
    decision = decide(base, candidates, {}, ())
    assert decision.base == "CAT"
    assert decision.reason
    assert (decision.asset_id is None) == (decision.by is None)
    if decision.asset_id is None:
        return
    (chosen,) = [candidate for candidate in candidates if candidate.id == decision.asset_id]
    if base.price_usd is not None and chosen.price_usd is not None:
        assert distance(base.price_usd, chosen.price_usd) <= CONTRADICTS
    was_before = base.previous is not None and base.previous.asset_id == chosen.id
    if decision.by == "contract":
        assert set(base.contracts) & set(chosen.contracts)
    elif not was_before:
        assert base.price_usd is not None
        assert chosen.price_usd is not None
        assert distance(base.price_usd, chosen.price_usd) <= AGREES
        for rival in candidates:
            if (
                rival.id != chosen.id
                and rival.price_usd
                and distance(base.price_usd, rival.price_usd) <= AGREES
            ):
                assert (chosen.market_cap_usd or 0) >= OUTWEIGHS * (rival.market_cap_usd or 0)


@given(bases(), CANDIDATES, st.randoms())
def test_the_order_of_candidates_is_irrelevant(
    base: Base, candidates: list[Candidate], chance: random.Random
) -> None:
    shuffled = list(candidates)
    chance.shuffle(shuffled)
    assert decide(base, candidates, {}, ()) == decide(base, shuffled, {}, ())


@given(bases(), CANDIDATES)
def test_a_listed_override_takes_precedence(base: Base, candidates: list[Candidate]) -> None:
    assert decide(base, candidates, {"CAT": "simon-s-cat"}, {"simon-s-cat"}).by == "override"
    refused = decide(base, candidates, {"CAT": "simon-s-cat"}, {"another"})
    assert refused.asset_id is None
    assert "simon-s-cat, which CoinGecko does not list" in refused.reason


@given(bases(), CANDIDATES)
def test_deciding_again_with_the_same_numbers_changes_nothing(
    base: Base, candidates: list[Candidate]
) -> None:
    first = decide(base, candidates, {}, ())
    if first.asset_id is None:
        return
    again = decide(
        Base(base="CAT", price_usd=base.price_usd, contracts=base.contracts, previous=first),
        candidates,
        {},
        (),
    )
    assert again.asset_id == first.asset_id


@pytest.mark.parametrize(
    ("base", "candidates", "asset", "reason"),
    [
        (Base(base="CAT", price_usd=1.0), [], None, "no coin with this ticker"),
        (Base(base="CAT"), [Candidate(id="a", price_usd=1.0)], None, "no own price"),
        (
            Base(base="CAT", price_usd=1.0),
            [Candidate(id="a")],
            None,
            "none of 1 candidates has a recent price",
        ),
        (
            Base(base="CAT", price_usd=1.0, contracts=["0x1"]),
            [Candidate(id="a", price_usd=2.0, contracts=["0x1"]), Candidate(id="b", price_usd=1.0)],
            None,
            "the contract address is that of a, but a is at 2 USD, ours at 1",
        ),
        (
            Base(base="CAT", contracts=["0x1"]),
            [Candidate(id="a", contracts=["0x1"]), Candidate(id="b", price_usd=1.0)],
            "a",
            "the contract address matches",
        ),
        (
            Base(base="CAT", price_usd=1.0),
            [
                Candidate(id="a", price_usd=1.0, market_cap_usd=9.0),
                Candidate(id="b", price_usd=1.01, market_cap_usd=1.0),
            ],
            None,
            "2 candidates have our price, none by far the largest: a, b",
        ),
        (
            Base(base="CAT", price_usd=1.0),
            [Candidate(id="a", price_usd=1.0, market_cap_usd=10.0), Candidate(id="b", price_usd=1.01)],
            "a",
            "by far the largest of 2",
        ),
    ],
)
def test_decisions_have_a_reason(
    base: Base, candidates: list[Candidate], asset: str | None, reason: str
) -> None:
    decision = decide(base, candidates, {}, ())
    assert decision.asset_id == asset
    assert reason in decision.reason


def test_prices_in_other_quotes_are_converted_to_dollars() -> None:
    prices = dollar_prices(
        [
            ("BTC", "USDT", 100_000.0),
            ("BTC", "USD", 100_200.0),
            ("BTC", "EUR", 91_000.0),
            ("CAT", "EUR", 2.0),
            ("DOG", "BTC", 0.00001),
            ("OWL", "TRY", 50.0),
        ]
    )
    assert prices == {
        "BTC": 100_100.0,
        "CAT": pytest.approx(2.2),
        "DOG": pytest.approx(1.001),
    }


@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.sampled_from(["USD", "USDT", "EUR", "A"]), st.floats(1e-6, 1e6))
    )
)
def test_prices_are_positive_and_of_given_bases(quotes: list[tuple[str, str, float]]) -> None:
    prices = dollar_prices(quotes)
    assert prices.keys() <= {base for base, _, _ in quotes}
    assert all(price > 0 for price in prices.values())
    assert prices.keys() >= {base for base, quote, _ in quotes if quote in ("USD", "USDT")}


def test_coins_of_two_providers_are_matched_by_contract_or_price() -> None:
    ours = [
        Candidate(id="ethereum", price_usd=3_000.0, market_cap_usd=4e11),
        Candidate(id="bridged-ether", price_usd=3_001.0, market_cap_usd=4e7, contracts=["0xb"]),
        Candidate(id="simon-s-cat", price_usd=0.5, market_cap_usd=1e7, contracts=["0xc"]),
        Candidate(id="other-cat", price_usd=9.0),
        Candidate(id="twin", price_usd=1.0),
    ]
    theirs = [
        ("ETH", Candidate(id="1027", price_usd=3_002.0)),
        ("CAT", Candidate(id="7", price_usd=0.7, contracts=["0xc"])),
        ("CAT", Candidate(id="8", price_usd=2.0)),
        ("TWIN", Candidate(id="10", price_usd=1.0)),
        ("TWIN", Candidate(id="11", price_usd=1.0)),
    ]
    tickers = {
        "ethereum": "ETH",
        "bridged-ether": "ETH",
        "simon-s-cat": "CAT",
        "other-cat": "CAT",
        "twin": "TWIN",
    }
    assert same_coin(ours, theirs, tickers) == {"ethereum": "1027", "simon-s-cat": "7"}


@given(CANDIDATES, CANDIDATES)
def test_no_coin_is_matched_twice(ours: list[Candidate], theirs: list[Candidate]) -> None:
    same = same_coin(ours, [("X", coin) for coin in theirs], {coin.id: "X" for coin in ours})
    assert len(set(same.values())) == len(same)
    assert same.keys() <= {coin.id for coin in ours}
