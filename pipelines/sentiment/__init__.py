"""Assets of the group ``sentiment``: sentiment scores and the texts behind them."""
