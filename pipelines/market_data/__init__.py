"""Assets of the group ``market_data``: markets, candles, indicators and checks of them."""
