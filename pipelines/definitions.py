"""Everything Dagster runs here: ``defs``, which ``workspace.yaml`` names. Loads without a database."""

from __future__ import annotations

import dagster as dg

from pipelines.market_data.assets import candles_1m, markets
from pipelines.market_data.jobs import CANDLES_JOB, MARKETS_JOB
from pipelines.market_data.schedules import candles_every_5_minutes, markets_every_hour
from pipelines.market_data.sensors import fill_at_start
from pipelines.resources import Coinwatch

defs = dg.Definitions(
    assets=[markets, candles_1m],
    jobs=[MARKETS_JOB, CANDLES_JOB],
    schedules=[candles_every_5_minutes, markets_every_hour],
    sensors=[fill_at_start],
    resources={"coinwatch": Coinwatch()},
    # A process for each step would cost seconds and win nothing: the work is waiting for answers.
    executor=dg.in_process_executor,
)
