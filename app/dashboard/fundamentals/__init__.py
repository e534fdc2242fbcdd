"""The Fundamentals page."""
