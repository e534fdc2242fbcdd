"""The average of a pair: no single exchange moves it, and it can be recomputed from stored inputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coinwatch.averaging.average import Average, Candidate, Judgement, Method, State, average, recompute
from coinwatch.averaging.quarantine import QUARANTINE_AFTER_US, Change, Quarantine
from coinwatch.averaging.weighted_quantiles import median, quantile, shares
from coinwatch.times import SECOND_US

NAMES = ("binance", "bitstamp", "bybit", "coinbase", "kraken")
TS_US = 1_795_176_000 * SECOND_US
METHODS = st.sampled_from(Method)


def candidate(name: str = "binance", price: float = 100.0, *, age_s: float = 1.0, **given: Any) -> Candidate:
    facts = {"mean_interval_us": SECOND_US, "volume": 1_000.0, **given}
    return Candidate(name=name, price=price, ts_us=TS_US, age_us=round(age_s * SECOND_US), **facts)


def several(*prices: float, **given: Any) -> list[Candidate]:
    return [candidate(name, price, **given) for name, price in zip(NAMES, prices, strict=False)]


def averaged(candidates: Sequence[Candidate], method: Method = Method.MEDIAN) -> Average:
    judgement = average(candidates, method)
    assert judgement.average is not None
    return judgement.average


def reasons(judgement: Judgement) -> dict[str, str | None]:
    assert judgement.average is not None
    return {name: given.why for name, given in judgement.average.inputs.items()}


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from([*NAMES, "kraken:USDT", "binance:USDC", "gemini"]),
        price=st.one_of(st.floats(95, 105), st.floats(1e-9, 1e9)),
        ts_us=st.integers(TS_US - 10**9, TS_US),
        age_us=st.integers(0, 200 * SECOND_US),
        mean_interval_us=st.none() | st.integers(0, 120 * SECOND_US),
        volume=st.just(0.0) | st.floats(0, 1e15),
        was_excluded=st.booleans(),
        is_trusted=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda entry: entry.name,
)


@given(CANDIDATES, METHODS)
def test_the_price_lies_within_the_used_prices(candidates: list[Candidate], method: Method) -> None:
    judgement = average(candidates, method)
    if judgement.average is None:
        return
    result = judgement.average
    used = [given for given in result.inputs.values() if given.used]
    prices = [given.price for given in used]
    assert min(prices) <= result.price <= max(prices)
    assert result.inputs.keys() == {entry.name for entry in candidates}
    assert all((given.why is None) == given.used == (given.weight > 0) for given in result.inputs.values())
    assert sum(given.weight for given in used) == pytest.approx(1, abs=1e-4)
    assert result.state is (State.OK if len(result.exchanges) >= 3 else State.DEGRADED)
    assert 0 <= result.confidence <= max(prices) - min(prices)


@given(CANDIDATES, METHODS)
def test_no_exchange_exceeds_its_limit_of_weight(candidates: list[Candidate], method: Method) -> None:
    result = average(candidates, method).average
    assume(result is not None and len(result.exchanges) > 0)
    assert result
    limit = max(0.4, 1 / len(result.exchanges))
    for exchange in result.exchanges:
        names = [name for name in result.inputs if name.partition(":")[0] == exchange]
        assert sum(result.inputs[name].weight for name in names) <= limit + 1e-5


@given(CANDIDATES, METHODS, st.data())
def test_the_order_of_the_inputs_does_not_matter(
    candidates: list[Candidate], method: Method, data: st.DataObject
) -> None:
    assert average(data.draw(st.permutations(candidates)), method) == average(candidates, method)


@given(CANDIDATES, METHODS, METHODS)
def test_a_stored_row_is_recomputed_exactly(
    candidates: list[Candidate], method: Method, other: Method
) -> None:
    result = average(candidates, method).average
    assume(result is not None)
    assert result
    stored = msgspec.json.decode(msgspec.json.encode(result.inputs))
    assert recompute(stored, method) == result.price
    again = average(candidates, other).average
    assert again
    assert recompute(stored, other) == again.price


@given(
    prices=st.lists(st.floats(99.9761, 100.0239), min_size=5, max_size=5),
    volumes=st.lists(st.floats(0, 1e12), min_size=5, max_size=5),
    ages_s=st.lists(st.floats(0, 9.9), min_size=5, max_size=5),
    interval_us=st.sampled_from([None, 1, 60 * SECOND_US]),
    was_excluded=st.lists(st.booleans(), min_size=5, max_size=5),
    method=METHODS,
    off=st.sampled_from([1.2, 0.8, 1.201, 0.79, 100.0, 0.001])
    | st.floats(0.9, 1.1)
    | st.floats(0.998, 1.002),
    bad=st.integers(0, 4),
    frozen_s=st.floats(0, 400),
)
def test_one_wrong_or_frozen_exchange_of_five_barely_moves_the_price(
    prices: list[float],
    volumes: list[float],
    ages_s: list[float],
    interval_us: int | None,
    was_excluded: list[bool],
    method: Method,
    off: float,
    bad: int,
    frozen_s: float,
) -> None:
    candidates = [
        candidate(name, price, age_s=age_s, volume=volume, mean_interval_us=interval_us, was_excluded=out)
        for name, price, age_s, volume, out in zip(NAMES, prices, ages_s, volumes, was_excluded, strict=True)
    ]
    candidates[bad] = msgspec.structs.replace(
        candidates[bad], price=prices[bad] * off, age_us=round(frozen_s * SECOND_US)
    )
    without = averaged([entry for place, entry in enumerate(candidates) if place != bad], method)
    result = averaged(candidates, method)
    limit = 0.0005
    if method is not Method.MEDIAN and result.inputs[NAMES[bad]].used:  # a mean follows every input
        limit += 0.4 * abs(off - 1)
    assert abs(result.price / without.price - 1) < limit
    if not 0.9 <= off <= 1.1:
        assert result.price == without.price
        assert not result.inputs[NAMES[bad]].used


def test_the_median_is_weighted_by_volume() -> None:
    candidates = [
        candidate("binance", 100.0, volume=30.0),
        candidate("kraken", 101.0, volume=40.0),
        candidate("bybit", 102.0, volume=30.0),
    ]
    assert averaged(candidates).price == 101.0
    heavy = [msgspec.structs.replace(candidates[0], volume=39.0), *candidates[1:]]
    assert averaged(heavy).price == 101.0
    result = averaged([candidate("binance", 100.0, volume=9.0), candidate("kraken", 100.1, volume=1.0)])
    assert result.price == pytest.approx(100.05)
    assert (result.state, result.exchanges) == (State.DEGRADED, ("binance", "kraken"))


def test_other_methods_use_the_same_constituents() -> None:
    candidates = several(100.0, 100.1, 100.4)
    candidates[0] = msgspec.structs.replace(candidates[0], volume=10_000.0)
    assert averaged(candidates, Method.MEAN).price == pytest.approx(100 + 0.5 / 3)
    assert averaged(candidates, Method.VWAP).price == pytest.approx(100 + 0.3 * 0.1 + 0.3 * 0.4)


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.floats(1e-9, 1e15), min_size=1))
def test_shares_are_capped_and_keep_their_order(weights: dict[str, float]) -> None:
    result = shares(weights, 0.4)
    assert sum(result.values()) == pytest.approx(1)
    assert max(result.values()) <= max(0.4, 1 / len(weights)) + 1e-12
    for lighter, heavier in itertools.pairwise(sorted(weights, key=lambda name: weights[name])):
        assert result[lighter] <= result[heavier] * (1 + 1e-9)


def test_the_limit_is_iterated() -> None:
    assert shares({"a": 98, "b": 1, "c": 1}, 0.4) == pytest.approx({"a": 0.4, "b": 0.3, "c": 0.3})
    assert shares({"a": 60, "b": 39, "c": 1}, 0.4) == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.2})
    assert shares({"a": 99, "b": 1}, 0.4) == pytest.approx({"a": 0.5, "b": 0.5})
    assert shares({"a": 3}, 0.4) == {"a": 1.0}
    assert shares({}, 0.4) == {}


@given(st.lists(st.tuples(st.floats(1, 1e6), st.integers(1, 1_000_000)), min_size=1))
def test_at_most_half_of_the_weight_is_on_either_side(values: list[tuple[float, int]]) -> None:
    middle = median(values)
    total = sum(weight for _, weight in values)
    assert sum(weight for value, weight in values if value < middle) * 2 <= total
    assert sum(weight for value, weight in values if value > middle) * 2 <= total
    assert quantile(values, 1, 4) <= middle <= quantile(values, 3, 4)


@pytest.mark.parametrize(
    ("mean_s", "age_s", "used"),
    [
        (None, 9.9, True),
        (None, 10.0, False),
        (0.004, 9.9, True),
        (25.0, 124.0, True),
        (25.0, 125.0, False),
        (600.0, 179.0, True),
        (600.0, 180.0, False),
    ],
)
def test_the_age_limit_follows_the_mean_interval_of_the_market(
    mean_s: float | None, age_s: float, used: bool
) -> None:
    mean_us = None if mean_s is None else round(mean_s * SECOND_US)
    quiet = candidate("kraken", age_s=age_s, mean_interval_us=mean_us)
    result = averaged([*several(100, 100, 100), quiet])
    assert result.inputs["kraken"].used is used
    if not used:
        assert (result.inputs["kraken"].why or "").startswith(f"silent for {age_s:.0f} s, more than")


def test_weight_fades_from_half_of_the_age_limit() -> None:
    def weight(age_s: float) -> float:
        fading = candidate("kraken", age_s=age_s)
        return averaged([*several(100, 100, 100, 100), fading]).inputs["kraken"].weight

    assert weight(0) == weight(5) == pytest.approx(0.2, abs=1e-6)
    assert weight(7.5) == pytest.approx(0.5 / 4.5, abs=1e-5)
    assert weight(9.99) < 0.001


def test_an_outlier_is_readmitted_within_half_of_the_bound() -> None:
    def out(off: float, before: bool) -> bool:
        last = candidate("kraken", 100 * (1 + off), was_excluded=before)
        return "kraken" in average([*several(100.0, 100.01, 100.02, 100.03), last]).excluded

    assert not out(0.004, before=False)
    assert out(0.006, before=False)
    assert out(0.004, before=True)
    assert not out(0.002, before=True)
    judgement = average([*several(100.0, 100.01, 100.02, 100.03), candidate("kraken", 101.0)])
    assert reasons(judgement)["kraken"] == "0.98% from the median"


def test_widely_spread_prices_are_no_outliers() -> None:
    judgement = average(several(99.5, 99.8, 100.0, 100.2, 100.9))
    assert not judgement.excluded


@pytest.mark.parametrize(
    ("facts", "thin"), [({}, False), ({"mean_interval_us": 20 * SECOND_US}, True)], ids=str
)
def test_thin_pairs_have_a_wider_bound(facts: dict[str, Any], thin: bool) -> None:
    candidates = [*several(100.0, 100.0, 100.0, **facts), candidate("kraken", 102.0, **facts)]
    assert ("kraken" not in average(candidates).excluded) is thin
    few = [candidate("binance", 100.0), candidate("kraken", 102.0)]
    assert averaged(few).price == 101.0


def test_another_coin_is_excluded_and_without_agreement_there_is_no_price() -> None:
    judgement = average(several(100.0, 100.1, 31.0))
    assert judgement.average
    assert judgement.average.exchanges == ("binance", "bitstamp")
    assert reasons(judgement)["bybit"] == "223% from the others"
    assert judgement.trusted == {"binance", "bitstamp"}
    stopped = average(several(100.0, 150.0, 31.0))
    assert (stopped.average, stopped.trusted) == (None, frozenset())
    assert average([]).average is None
    alone = averaged([candidate()])
    assert (alone.price, alone.state, alone.confidence) == (100.0, State.DEGRADED, 0.0)


def test_an_untrusted_market_alone_makes_no_price() -> None:
    off = candidate("kraken", 31.0, is_trusted=False)
    assert average([off]).average is None
    silent = candidate("binance", 100.0, age_s=60)
    assert average([off, silent]).average is None
    judgement = average([off, candidate("binance", 100.0)])
    assert judgement.average
    assert judgement.average.price == 100.0
    assert judgement.trusted == {"binance"}
    stale = average([candidate("binance", 100.0), candidate("kraken", 31.0, is_trusted=False, age_s=60)])
    assert reasons(stale)["kraken"] == "silent for 60 s, more than 10 s"


def test_a_majority_of_another_coin_does_not_win() -> None:
    others = [candidate(name, 31.0, is_trusted=False) for name in ("kraken", "coinbase", "bybit")]
    assert averaged([candidate("binance", 100.0), *others]).price == 100.0


def test_trust_returns_below_half_of_the_limit() -> None:
    def trusted(price: float, before: bool) -> bool:
        last = candidate("kraken", price, is_trusted=before)
        return "kraken" in average([*several(100.0, 100.0), last]).trusted

    assert trusted(119.0, before=True)
    assert not trusted(121.0, before=True)
    assert not trusted(119.0, before=False)
    assert trusted(109.0, before=False)


def test_an_exchange_with_several_quotes_is_one_exchange() -> None:
    candidates = [
        candidate("kraken", 100.0, volume=900.0),
        candidate("kraken:USDT", 100.2, volume=900.0, rate=0.999),
        candidate("binance:USDT", 100.1, volume=200.0, rate=0.999),
    ]
    result = averaged(candidates)
    assert (result.state, result.exchanges) == (State.DEGRADED, ("binance", "kraken"))
    assert result.inputs["binance:USDT"].weight == 0.5
    assert result.inputs["binance:USDT"].rate == 0.999


def test_recompute_needs_a_used_input() -> None:
    with pytest.raises(ValueError, match="no price"):
        recompute({}, Method.MEDIAN)


def test_quarantine_starts_after_an_hour_and_ends_below_half() -> None:
    quarantine = Quarantine()

    def judge(price: float, at_us: int) -> list[Change]:
        last = candidate("kraken", price, is_trusted=quarantine.trusts("kraken"))
        return quarantine.update(average([*several(100.0, 100.0), last]), at_us)

    assert judge(31.0, 0) == []
    assert not quarantine.trusts("kraken")
    assert judge(31.0, QUARANTINE_AFTER_US - 1) == []
    (began,) = judge(31.0, QUARANTINE_AFTER_US)
    assert (began.name, began.since_us, began.is_released) == ("kraken", 0, False)
    assert began.deviation == pytest.approx(100 / 31 - 1)
    assert judge(119.0, QUARANTINE_AFTER_US + 1) == []
    (released,) = judge(109.0, QUARANTINE_AFTER_US + 2)
    assert (released.name, released.since_us, released.is_released) == ("kraken", 0, True)
    assert quarantine.trusts("kraken")


def test_a_deviation_shorter_than_an_hour_is_forgotten() -> None:
    quarantine = Quarantine()
    others = several(100.0, 100.0)
    quarantine.update(average([*others, candidate("kraken", 31.0)]), 0)
    quarantine.update(average([*others, candidate("kraken", 101.0, is_trusted=False)]), 1)
    assert quarantine.trusts("kraken")
    quarantine.update(average([*others, candidate("kraken", 31.0)]), 2)
    quarantine.update(average([]), 2 + QUARANTINE_AFTER_US - 1)
    assert not quarantine.trusts("kraken")
    quarantine.update(average([]), 2 + QUARANTINE_AFTER_US)
    assert quarantine.trusts("kraken")


def test_a_stored_quarantine_is_kept_until_the_price_agrees() -> None:
    quarantine = Quarantine({"kraken": 7})
    assert quarantine.update(average([]), 99 * QUARANTINE_AFTER_US) == []
    assert not quarantine.trusts("kraken")
    back = average([*several(100.0, 100.0), candidate("kraken", 101.0, is_trusted=False)])
    (released,) = quarantine.update(back, 100 * QUARANTINE_AFTER_US)
    assert (released.name, released.since_us, released.is_released) == ("kraken", 7, True)


def test_two_disagreeing_markets_are_both_quarantined() -> None:
    quarantine = Quarantine()
    changes: list[Change] = []
    for at_us in (0, QUARANTINE_AFTER_US):
        pair = [
            candidate(name, price, is_trusted=quarantine.trusts(name))
            for name, price in (("binance", 100.0), ("kraken", 31.0))
        ]
        judgement = average(pair)
        assert judgement.average is None
        changes += quarantine.update(judgement, at_us)
    assert [change.name for change in changes] == ["binance", "kraken"]


def test_there_is_no_quantile_without_values() -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile([], 1, 2)
