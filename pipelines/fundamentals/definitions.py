"""The group ``fundamentals``, as Dagster loads it."""

import dagster as dg

DEFINITIONS = dg.Definitions()
