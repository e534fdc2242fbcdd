"""The alert endpoint: rules evaluated on stored trades, alerts claimed once and sent to subscribers."""
