"""Assets and their metrics."""
