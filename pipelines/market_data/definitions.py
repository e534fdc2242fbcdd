"""The group ``market_data``, as Dagster loads it."""

import dagster as dg

from pipelines.market_data.assets import candles_1m, markets
from pipelines.market_data.jobs import CANDLES_JOB, MARKETS_JOB
from pipelines.market_data.schedules import candles_every_5_minutes, markets_every_hour
from pipelines.market_data.sensors import fill_at_start

DEFINITIONS = dg.Definitions(
    assets=[markets, candles_1m],
    jobs=[MARKETS_JOB, CANDLES_JOB],
    schedules=[candles_every_5_minutes, markets_every_hour],
    sensors=[fill_at_start],
)
