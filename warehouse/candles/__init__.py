"""Candles: stored with their coverage, rolled up, checked and read."""
