from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from app.dashboard.fundamentals import html, plot, table, view
from app.dashboard.ui.style import DARK
from coinwatch.times import DAY_US, MINUTE_US, from_datetime
from warehouse.assets.reads import AssetRow, MetricPoint, Metrics

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
    bitcoin, ether, zeta = view.join(ROWS, TOLD)
    assert bitcoin.best is not None
    assert (bitcoin.best.price_usd, bitcoin.best.max_supply, bitcoin.best.tvl_usd) == (1.0, 21.0, 7.0)
    assert [one.source for one in bitcoin.by_source] == ["coingecko", "coinmarketcap", "defillama"]
    assert view.from_ath(bitcoin.best) == -0.75
    assert view.from_ath(ether.best) is None
    assert zeta.best is None


def test_filters_narrow() -> None:
    found = view.join(ROWS, TOLD)
    assert view.categories(found) == ["Layer 1", "Smart"]
    assert [one.row.id for one in view.chosen(found, "Layer 1", ours=False)] == ["bitcoin", "ether"]
    assert [one.row.id for one in view.chosen(found, None, ours=True)] == ["bitcoin"]
    assert [one.row.id for one in view.chosen(found, None, ours=False, search=" ETH")] == ["ether"]


def test_sizes_narrow_by_market_cap() -> None:
    told = [metrics("bitcoin", market_cap_usd=1e12), metrics("ether", market_cap_usd=1e8)]
    found = view.join(ROWS, told)

    def names(size: str) -> list[str]:
        return [one.row.id for one in view.chosen(found, None, ours=False, size=size)]

    assert names("over $10 B") == ["bitcoin"]
    assert names("$100 M to $1 B") == ["ether"]
    assert names("under $100 M") == []
    assert names("not known") == ["zeta"]
    assert sorted(name for size in view.SIZES for name in names(size)) == ["bitcoin", "ether", "zeta"]


def test_orders_leave_the_unknown_at_the_end() -> None:
    told = [
        metrics("bitcoin", rank=1, change_24h=-0.1, price_usd=1.0, ath_usd=2.0),
        metrics("ether", rank=2, change_24h=0.2, price_usd=1.0, ath_usd=10.0),
        metrics("zeta", rank=3),
    ]
    found = view.join(ROWS, told)

    def names(sort: str) -> list[str]:
        return [one.row.id for one in view.ordered(found, sort)]

    assert names("Rank") == ["bitcoin", "ether", "zeta"]
    assert names("Rising 24 h") == ["ether", "bitcoin", "zeta"]
    assert names("Falling 24 h") == ["bitcoin", "ether", "zeta"]
    assert names("Furthest from ATH") == ["ether", "bitcoin", "zeta"]
    for sort in view.SORTS:
        assert len(names(sort)) == 3


def test_each_number_is_told_by_somebody() -> None:
    bitcoin, *_ = view.join(ROWS, TOLD)
    assert bitcoin.told_by["price_usd"].source == "coingecko"
    assert bitcoin.told_by["max_supply"].source == "coinmarketcap"
    assert bitcoin.told_by["tvl_usd"].source == "defillama"
    assert "market_cap_usd" not in bitcoin.told_by
    now_us = from_datetime(NOW) + 3 * MINUTE_US
    said = html.facts(bitcoin, UTC, now_us)
    assert 'DefiLlama, <time title="20 Nov 2026, 12:00:00 UTC">3 min ago</time>' in said
    compared = html.sources(bitcoin.by_source, UTC, now_us)
    for words in ("CoinGecko", "CoinMarketCap", "DefiLlama", "$7.00", "$2.0000"):
        assert words in compared
    assert "Fully diluted" not in compared  # nobody tells it
    assert view.newest([bitcoin]) == NOW


def test_a_table_reads_as_people_do() -> None:
    reached = metrics("zeta", price_usd=1.0, ath_usd=2.0, atl_usd=0.5, rank=9)
    reached = msgspec.structs.replace(reached, ath_at=datetime(2021, 11, 10, 14, tzinfo=UTC))
    frame = table.table(view.join(ROWS, [*TOLD, reached]))
    assert list(frame["Asset"]) == ["Bitcoin", "Ether", "Zeta"]
    later = NOW + timedelta(minutes=3)
    shown = table.styled(frame, DARK, later).to_html()
    for words in (
        "0.00001234",
        "\N{MINUS SIGN}75.00 %",
        "+100.00 %",
        "10 Nov 2021",
        "3 min ago",
        "CoinGecko",
        "—",
    ):
        assert words in shown
    assert "NaT" not in shown
    table.styled(table.table([]), DARK, later).to_html()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("A <b>currency</b>.", "A currency."),
        ('<a href="https://x">Bitcoin</a> &amp; <script>alert(1)</script>more', "Bitcoin & more"),
        ("## What is it?\r\n\r\n\r\n\r\nMoney", "What is it?\n\nMoney"),
        ("a<br>b<p>c", "a\nb\nc"),
        ("1 < 2 & 3", "1 < 2 & 3"),
        ("", ""),
    ],
)
def test_descriptions_become_plain_text(told: str, expected: str) -> None:
    assert view.plain(told) == expected


def test_pictures_are_of_the_web_only() -> None:
    assert view.image({}) is None
    bad = {"coingecko": "javascript:alert(1)", "x": "http://a.example/a.png", "y": "https://[bad"}
    assert view.image(bad) is None
    good = {"coinmarketcap": "https://b.example/b.png", "coingecko": "https://a.example/a.png"}
    assert view.image(good) == "https://a.example/a.png"
    assert view.image(bad | {"z": "https://c.example/c.png"}) == "https://c.example/c.png"


def test_only_web_addresses_are_linked() -> None:
    told = {"web_site": ["https://a.example", "http://b.example", "https://c.example"]}
    bad = {"x": ["javascript:alert(1)", "https://[bad", "ftp://a", ""]}
    assert view.links(told | bad) == (
        ("web site", "https://a.example"),
        ("web site", "http://b.example"),
    )


@pytest.mark.parametrize("length_us", view.RANGES.values())
def test_a_history_has_at_most_so_many_points(length_us: int) -> None:
    step_us = view.step_us(length_us)
    assert step_us % (DAY_US // 24) == 0
    assert length_us / step_us <= view.POINTS


def test_a_history_has_a_line_for_each_source_that_tells() -> None:
    points = [
        MetricPoint("coingecko", 1_000, 1.0, None, None, None, 3),
        MetricPoint("coinmarketcap", 1_000, 2.0, None, None, None, None),
    ]
    drawn = plot.history_options(points, "Price", DARK, str)
    assert drawn is not None
    assert [one["name"] for one in drawn["series"]] == ["CoinGecko", "CoinMarketCap"]
    ranks = plot.history_options(points, "Rank", DARK, str)
    assert ranks is not None
    assert ranks["yAxis"]["inverse"]
    assert plot.history_options(points, "Value locked", DARK, str) is None
