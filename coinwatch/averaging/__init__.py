"""The average price of a pair from the last trades of several exchanges. Pure."""
