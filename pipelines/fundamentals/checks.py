"""Asset checks of fundamentals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from pipelines.fundamentals.collect import Collected, Conn
from pipelines.fundamentals.mapping import dollar_prices
from pipelines.fundamentals.report import cell, table
from warehouse.assets.metrics import Difference, differing_from_ours, differing_sources, our_prices

FAR = 0.05
"""The largest difference accepted: sources are minutes apart and average other exchanges than ours."""

PRICES_AGREE = dg.AssetCheckSpec(
    "prices_agree_with_ours",
    asset="asset_metrics",
    description=f"CoinGecko's price of the asset mapped to each base is within {FAR:.0%} of our own price. "
    "A larger difference means that the base is mapped to another coin.",
    blocking=True,
)
SOURCES_AGREE = dg.AssetCheckSpec(
    "sources_agree",
    asset="asset_metrics",
    description=f"The prices of CoinGecko and CoinMarketCap are within {FAR:.0%} of each other.",
)
BASES_DECIDED = dg.AssetCheckSpec(
    "bases_are_decided",
    asset="asset_metrics",
    description="Each base of the markets is mapped to an asset; COINWATCH_ASSET_IDS overrides the mapping.",
)
METRICS_CHECKS = [PRICES_AGREE, SOURCES_AGREE, BASES_DECIDED]
"""Evaluated within the asset, because Dagster skips the checks of a failed asset."""


async def check_metrics(conn: Conn, collected: Collected, now_us: int) -> list[dg.AssetCheckResult]:
    """Evaluate METRICS_CHECKS on the metrics stored for this hour."""
    ours = dollar_prices(await our_prices(conn, now_us))
    compared, far = await differing_from_ours(conn, collected.hour_us, ours, FAR)
    both, apart = await differing_sources(conn, collected.hour_us, FAR)
    undecided = [decision for decision in collected.decisions if decision.asset_id is None]
    rows = [f"| {decision.base} | {cell(decision.reason)} |" for decision in undecided]
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
                **(
                    {"reasons": dg.MetadataValue.md(table("| base | reason |", "|---|---|", rows))}
                    if rows
                    else {}
                ),
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
    for difference in far:
        yield f"| {difference.asset_id} | {difference.price_usd:.6g} | {difference.other_usd:.6g} |"
