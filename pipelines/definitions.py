"""Everything Dagster runs here: ``defs``, which ``workspace.yaml`` names. Loads without a database."""

from __future__ import annotations

import dagster as dg

from pipelines.fundamentals.definitions import DEFINITIONS as FUNDAMENTALS
from pipelines.maintenance.definitions import DEFINITIONS as MAINTENANCE
from pipelines.market_data.definitions import DEFINITIONS as MARKET_DATA
from pipelines.resources import Coinwatch
from pipelines.sentiment.definitions import DEFINITIONS as SENTIMENT

defs = dg.Definitions.merge(
    MARKET_DATA,
    FUNDAMENTALS,
    SENTIMENT,
    MAINTENANCE,
    dg.Definitions(
        resources={"coinwatch": Coinwatch()},
        # A process for each step would cost seconds and win nothing: the work is waiting for answers.
        executor=dg.in_process_executor,
    ),
)
