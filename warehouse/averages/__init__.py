"""Average prices across exchanges."""
