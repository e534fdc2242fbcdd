"""The Dagster definitions of the group ``market_data``."""

import dagster as dg

from pipelines.market_data.assets.candle_checks import candle_checks
from pipelines.market_data.assets.candles import candles_1m
from pipelines.market_data.assets.gap_report import gap_report
from pipelines.market_data.assets.indicators import indicators
from pipelines.market_data.assets.markets import markets
from pipelines.market_data.assets.rollups import rollups
from pipelines.market_data.jobs import (
    CANDLES_JOB,
    CHECKS_JOB,
    GAPS_JOB,
    MARKETS_JOB,
    REPORT_JOB,
    ROLLUPS_JOB,
)
from pipelines.market_data.schedules import (
    candle_checks_every_night,
    candles_every_5_minutes,
    gap_report_every_hour,
    markets_every_hour,
)
from pipelines.market_data.sensors import fill_gaps, roll_up_when_due

DEFINITIONS = dg.Definitions(
    assets=[markets, candles_1m, rollups, indicators, candle_checks, gap_report],
    jobs=[MARKETS_JOB, CANDLES_JOB, GAPS_JOB, CHECKS_JOB, ROLLUPS_JOB, REPORT_JOB],
    schedules=[
        candles_every_5_minutes,
        markets_every_hour,
        gap_report_every_hour,
        candle_checks_every_night,
    ],
    sensors=[fill_gaps, roll_up_when_due],
)
