"""Assets of the group ``market_data``: what trades where, and its candles."""
