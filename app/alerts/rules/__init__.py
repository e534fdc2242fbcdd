"""The rule engine. Pure: no I/O, no clock of its own."""
