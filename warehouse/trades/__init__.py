"""Trades: written once each, and the ledger of stream gaps."""
