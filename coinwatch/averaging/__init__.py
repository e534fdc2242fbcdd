"""The average price of a pair over the last trades of several exchanges. Pure: no I/O."""
