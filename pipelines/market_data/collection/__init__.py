"""Collection of candles and instruments as plain async functions, independent of Dagster."""
