"""Dagster assets, checks, schedules and sensors; the collection they run is plain async Python."""

from __future__ import annotations

import warnings

import dagster as dg

# A bounded backfill policy is what keeps partial success; every process here would warn of it.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)
