"""Collection of candles and instruments as plain async functions. Imports no Dagster."""
