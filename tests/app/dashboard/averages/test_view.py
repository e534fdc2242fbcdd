from __future__ import annotations

import pytest

from app.dashboard.averages import view as averages_view
from app.dashboard.averages.plot import options
from app.dashboard.ui.indicators import Indicator
from app.dashboard.ui.style import DARK
from coinwatch.averaging.average import Average, Input, Method, State
from coinwatch.records import Symbol
from coinwatch.times import SECOND_US
from warehouse.averages.store import PairAverage

NOON_US = 1_795_176_000 * SECOND_US
BTC = Symbol("BTC", "USDT")


def sample(ts_us: int, price: float, **exchanges: tuple[float, bool]) -> PairAverage:
    inputs = {
        name: Input(price, "2026-11-20T12:00:00Z", 0.5, 0.5 if used else 0.0, used, None if used else "old")
        for name, (price, used) in exchanges.items()
    }
    used = tuple(name for name, (_, is_used) in exchanges.items() if is_used)
    average = Average(price, 1.0, Method.MEDIAN, State.OK, used, inputs)
    return PairAverage(symbol=BTC, ts_us=ts_us, average=average)


def view(samples: list[PairAverage], *moving: Indicator, steps: int = 4) -> averages_view.AveragesView:
    return averages_view.build(
        samples,
        start_us=NOON_US,
        end_us=NOON_US + steps * SECOND_US,
        step_us=SECOND_US,
        moving=moving,
    )


def test_a_step_without_an_average_stays_empty() -> None:
    shown = view([sample(NOON_US, 100.0, kraken=(101.0, True)), sample(NOON_US + 3 * SECOND_US, 102.0)])
    assert shown.prices == (100.0, None, None, 102.0)
    (kraken,) = shown.exchanges
    assert kraken.prices == (101.0, None, None, None)
    assert kraken.deviations[0] == pytest.approx(100.0)
    assert not shown.is_empty
    assert view([]).is_empty


def test_a_chart_begins_where_averages_do() -> None:
    late = [sample(NOON_US + 80 * SECOND_US, 100.0, kraken=(101.0, True))]
    shown = view(late, steps=100)
    assert shown.begins_us == late[0].ts_us
    assert shown.times_us[0] == NOON_US + 70 * SECOND_US
    assert len(shown.prices) == averages_view.FEWEST_STEPS
    earlier = sample(NOON_US - 9 * SECOND_US, 100.0, kraken=(101.0, True))
    assert len(view([earlier, *late], steps=100).prices) == 100
    assert view([], steps=100).begins_us is None


def test_the_mean_deviation_counts_samples_in_use() -> None:
    shown = view(
        [
            sample(NOON_US, 100.0, okx=(100.1, True)),
            sample(NOON_US + SECOND_US, 100.0, okx=(99.7, True)),
            sample(NOON_US + 2 * SECOND_US, 100.0, okx=(150.0, False)),
        ]
    )
    (okx,) = shown.exchanges
    assert okx.usual_deviation == pytest.approx(20.0)
    assert okx.used_share == pytest.approx(2 / 3)


def test_moving_averages_warm_up_before_the_chart() -> None:
    samples = [sample(NOON_US + n * SECOND_US, 100.0 + n) for n in range(-2, 3)]
    shown = view(samples, Indicator("SMA", (3,)), Indicator("SMA", (9,)), steps=3)
    assert shown.lines[0].values == (99.0, 100.0, 101.0)
    assert shown.lines[1].values == (None, None, None)
    assert shown.notes == ("SMA 9 needs 9 points; 5 are stored.",)


def test_parts_list_those_used_first_and_the_heaviest_first() -> None:
    pair = sample(NOON_US, 100.0, binance=(100.0, False), okx=(101.0, True), kraken=(99.0, True))
    assert [part.name for part in averages_view.parts(pair)] == ["kraken", "okx", "binance"]
    assert averages_view.parts(pair)[2].why == "old"
    assert averages_view.parts(pair, view([pair]))[1].usual_deviation == pytest.approx(100.0)


def test_volume_shares_add_up() -> None:
    shares = averages_view.volume_shares({"okx": 1.0, "kraken": 3.0, "gemini": 0.0})
    assert shares == (("kraken", 3.0, 0.75), ("okx", 1.0, 0.25), ("gemini", 0.0, 0.0))
    assert averages_view.volume_shares({"okx": 0.0}) == ()


def test_an_exchange_left_out_does_not_set_the_scale() -> None:
    samples = [
        sample(NOON_US + n * SECOND_US, 100.0, kraken=(100.1, True), okx=(900.0, False)) for n in range(4)
    ]
    drawn = options(view(samples), DARK, str)
    prices, apart = drawn["yAxis"]
    assert prices["max"] < 101
    assert apart["max"] == pytest.approx(11.0)
    assert {line["id"] for line in drawn["series"]} >= {"average", "price-0", "apart-0", "out-1"}


def test_steps_make_about_as_many_points_for_each_range() -> None:
    for length_us in averages_view.RANGES.values():
        assert (
            averages_view.POINTS
            <= length_us // averages_view.step_us(length_us)
            <= 1.2 * averages_view.POINTS
        )


def test_an_excluded_exchange_is_dotted_and_described_in_words() -> None:
    shown = view(
        [
            sample(NOON_US, 100.0, okx=(100.1, True)),
            sample(NOON_US + SECOND_US, 100.0, okx=(150.0, False)),
            sample(NOON_US + 2 * SECOND_US, 102.0, okx=(150.0, False)),
        ],
        steps=3,
    )
    drawn = options(shown, DARK, str)
    series = {line["id"]: line for line in drawn["series"]}
    assert [value for _, value in series["price-0"]["data"]] == [100.1, None, None]
    assert [value for _, value in series["price-out-0"]["data"]] == [None, 150.0, 150.0]
    assert series["price-out-0"]["lineStyle"]["type"] == "dotted"
    assert drawn["aria"]["label"]["description"] == (
        "Average price from 20 Nov 2026, 12:00:00 UTC to 20 Nov 2026, 12:00:02 UTC; between 100.00 and "
        "102.00, the last at 102.00; okx on average 10.0 bp away."
    )
