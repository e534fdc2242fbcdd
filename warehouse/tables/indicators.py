"""Technical indicators of stored candles."""
