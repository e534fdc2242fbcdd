"""Assets of the group ``maintenance``: partitions, retention and statistics of the database."""
