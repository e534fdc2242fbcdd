"""What must be true of fundamentals, whatever a run said of itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from pipelines.fundamentals.collect import Collected, Conn
from pipelines.fundamentals.mapping import dollar_prices
from pipelines.fundamentals.report import cell, table
from warehouse.assets.metrics import Difference, differing_from_ours, differing_sources, our_prices

FAR = 0.05
"""0.05 is 5 %. Sources are minutes apart, and follow other exchanges than we."""

PRICES_AGREE = dg.AssetCheckSpec(
    "prices_agree_with_ours",
    asset="asset_metrics",
    description=f"CoinGecko's price of the asset behind each base is within {FAR:.0%} of our own: else the "
    "base is taken for another coin, and its market cap, supply and description are that coin's.",
    blocking=True,
)
SOURCES_AGREE = dg.AssetCheckSpec(
    "sources_agree",
    asset="asset_metrics",
    description=f"CoinGecko's and CoinMarketCap's prices of an asset are within {FAR:.0%} of each other.",
)
BASES_DECIDED = dg.AssetCheckSpec(
    "bases_are_decided",
    asset="asset_metrics",
    description="It is known which asset each base of our markets is; COINWATCH_ASSET_IDS can say so.",
)
METRICS_CHECKS = [PRICES_AGREE, SOURCES_AGREE, BASES_DECIDED]
"""Evaluated by the asset itself, because Dagster skips checks of an asset that failed."""


async def check_metrics(conn: Conn, collected: Collected, now_us: int) -> list[dg.AssetCheckResult]:
    """Evaluate METRICS_CHECKS on what this hour's collection stored."""
    ours = dollar_prices(await our_prices(conn, now_us))
    compared, far = await differing_from_ours(conn, collected.hour_us, ours, FAR)
    both, apart = await differing_sources(conn, collected.hour_us, FAR)
    undecided = [one for one in collected.decisions if one.asset_id is None]
    rows = [f"| {one.base} | {cell(one.reason)} |" for one in undecided]
    return [
        _prices(PRICES_AGREE, compared, far, "ours", dg.AssetCheckSeverity.ERROR),
        _prices(SOURCES_AGREE, both, apart, "CoinMarketCap", dg.AssetCheckSeverity.WARN),
        dg.AssetCheckResult(
            check_name=BASES_DECIDED.name,
            asset_key=BASES_DECIDED.asset_key,
            passed=not undecided,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "bases": len(collected.decisions),
                "undecided": len(undecided),
                **({"why": dg.MetadataValue.md(table("| base | why |", "|---|---|", rows))} if rows else {}),
            },
        ),
    ]


def _prices(
    spec: dg.AssetCheckSpec,
    compared: int,
    far: Sequence[Difference],
    other: str,
    severity: dg.AssetCheckSeverity,
) -> dg.AssetCheckResult:
    lines = list(_lines(far))
    head = f"| asset | CoinGecko, USD | {other}, USD |"
    return dg.AssetCheckResult(
        check_name=spec.name,
        asset_key=spec.asset_key,
        passed=not far,
        severity=severity,
        metadata={
            "compared": compared,
            "too_far_apart": len(far),
            **({"prices": dg.MetadataValue.md(table(head, "|---|---:|---:|", lines))} if far else {}),
        },
    )


def _lines(far: Sequence[Difference]) -> Iterator[str]:
    for one in far:
        yield f"| {one.asset_id} | {one.price_usd:.6g} | {one.other_usd:.6g} |"
