"""Shared, cached reads of the warehouse for all viewers."""
