"""The outside world: exchanges and providers, read into the vocabulary of ``coinwatch``."""
