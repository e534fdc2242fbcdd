"""Benchmarks: they print figures and ratios, and never fail for being slow."""
