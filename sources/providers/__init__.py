"""Providers of fundamentals and sentiment."""
