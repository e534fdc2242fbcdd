"""Assets of the group ``fundamentals``: what is known of coins beside their price."""
