"""Assets, and what is known of them beside their price."""
