"""The Averages page."""
