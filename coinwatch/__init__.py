"""The vocabulary of Coinwatch: records, settings, logging and errors. No I/O."""
