"""Assets of the group ``maintenance``: what keeps the warehouse small and quick."""
