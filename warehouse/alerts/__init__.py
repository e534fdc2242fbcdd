"""Alert rules, events, claims and deliveries."""
