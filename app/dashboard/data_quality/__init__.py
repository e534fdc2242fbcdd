"""The Data page: completeness, gaps and operations."""
