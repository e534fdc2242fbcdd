"""Assets of the group ``sentiment``: what people seem to think."""
