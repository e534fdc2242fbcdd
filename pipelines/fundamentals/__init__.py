"""Assets of the group ``fundamentals``: metrics and descriptions of coins."""
