"""Dagster assets, checks, schedules and sensors. The collection they run is plain async Python."""

from __future__ import annotations

import warnings

import dagster as dg

# Bounded backfill policies keep partial success; without the filter every process warns about them.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)
