"""The definitions that Dagster loads: ``defs``, named in ``workspace.yaml``. Loads without a database."""

from __future__ import annotations

import dagster as dg

# Imported as modules, because Dagster allows one Definitions object in this module's namespace.
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
        # A process per step would cost seconds and gain nothing: steps mostly wait for answers.
        executor=dg.in_process_executor,
    ),
)
