"""Everything Dagster runs here: ``defs``, which ``workspace.yaml`` names. Loads without a database."""

from __future__ import annotations

import dagster as dg

# As modules, because Dagster takes only one Definitions at the top of this one.
from pipelines.fundamentals import definitions as fundamentals
from pipelines.maintenance import definitions as maintenance
from pipelines.market_data import definitions as market_data
from pipelines.resources import Coinwatch
from pipelines.sentiment import definitions as sentiment

defs = dg.Definitions.merge(
    market_data.DEFINITIONS,
    fundamentals.DEFINITIONS,
    sentiment.DEFINITIONS,
    maintenance.DEFINITIONS,
    dg.Definitions(
        resources={"coinwatch": Coinwatch()},
        # A process for each step would cost seconds and win nothing: the work is waiting for answers.
        executor=dg.in_process_executor,
    ),
)
