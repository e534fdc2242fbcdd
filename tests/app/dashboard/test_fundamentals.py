from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.dashboard import fundamentals
from app.dashboard.style import DARK
from coinwatch.times import DAY_US
from warehouse.reads_assets import AssetRow, MetricPoint, Metrics

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def asset(id_: str, *categories: str, bases: tuple[str, ...] = ()) -> AssetRow:
    return AssetRow(
        id=id_, symbol=id_[:3], name=id_.title(), categories=list(categories), bases=list(bases), gone_at=None
    )


def metrics(id_: str, source: str = "coingecko", **numbers: float) -> Metrics:
    return Metrics(asset_id=id_, source=source, ts=NOW, **numbers)  # type: ignore[arg-type]


ROWS = [asset("zeta"), asset("bitcoin", "Layer 1", bases=("BTC",)), asset("ether", "Layer 1", "Smart")]
TOLD = [
    metrics("bitcoin", "defillama", tvl_usd=7.0),
    metrics("bitcoin", "coinmarketcap", price_usd=2.0, max_supply=21.0),
    metrics("bitcoin", price_usd=1.0, rank=1, ath_usd=4.0),
    metrics("ether", price_usd=0.00001234, rank=2),
]


def test_the_preferred_source_counts_and_others_complete_it() -> None:
    bitcoin, ether, zeta = fundamentals.join(ROWS, TOLD)
    assert bitcoin.best is not None
    assert (bitcoin.best.price_usd, bitcoin.best.max_supply, bitcoin.best.tvl_usd) == (1.0, 21.0, 7.0)
    assert [one.source for one in bitcoin.by_source] == ["coingecko", "coinmarketcap", "defillama"]
    assert fundamentals.from_ath(bitcoin.best) == -0.75
    assert fundamentals.from_ath(ether.best) is None
    assert zeta.best is None


def test_filters_narrow() -> None:
    found = fundamentals.join(ROWS, TOLD)
    assert fundamentals.categories(found) == ["Layer 1", "Smart"]
    assert [one.row.id for one in fundamentals.chosen(found, "Layer 1", ours=False)] == ["bitcoin", "ether"]
    assert [one.row.id for one in fundamentals.chosen(found, None, ours=True)] == ["bitcoin"]
    assert [one.row.id for one in fundamentals.chosen(found, None, ours=False, search=" ETH")] == ["ether"]


def test_a_table_reads_as_people_do() -> None:
    frame = fundamentals.table(fundamentals.join(ROWS, TOLD))
    assert list(frame["Asset"]) == ["Bitcoin", "Ether", "Zeta"]
    shown = fundamentals.styled(frame, DARK).to_html()
    for words in ("0.00001234", "\N{MINUS SIGN}75.00 %", "—"):
        assert words in shown
    fundamentals.styled(fundamentals.table([]), DARK).to_html()


def test_only_web_addresses_are_linked() -> None:
    told = {"web_site": ["https://a.example", "http://b.example", "https://c.example"]}
    bad = {"x": ["javascript:alert(1)", "https://[bad", "ftp://a", ""]}
    assert fundamentals.links(told | bad) == (
        ("web site", "https://a.example"),
        ("web site", "http://b.example"),
    )


@pytest.mark.parametrize("length_us", fundamentals.RANGES.values())
def test_a_history_has_at_most_so_many_points(length_us: int) -> None:
    step_us = fundamentals.step_us(length_us)
    assert step_us % (DAY_US // 24) == 0
    assert length_us / step_us <= fundamentals.POINTS


def test_a_history_has_a_line_for_each_source_that_tells() -> None:
    points = [
        MetricPoint("coingecko", 1_000, 1.0, None, None, None, 3),
        MetricPoint("coinmarketcap", 1_000, 2.0, None, None, None, None),
    ]
    drawn = fundamentals.history_options(points, "Price", DARK, str)
    assert drawn is not None
    assert [one["name"] for one in drawn["series"]] == ["coingecko", "coinmarketcap"]
    ranks = fundamentals.history_options(points, "Rank", DARK, str)
    assert ranks is not None
    assert ranks["yAxis"]["inverse"]
    assert fundamentals.history_options(points, "Value locked", DARK, str) is None
