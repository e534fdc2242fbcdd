"""Dagster's web server behind a guard: ``python -m pipelines.web``, with Dagster's workspace options."""
