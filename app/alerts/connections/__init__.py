"""Client connections: HTTP answers, sessions and the fan-out of stored alerts."""
