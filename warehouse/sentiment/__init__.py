"""Sentiment scores and the articles behind them."""
