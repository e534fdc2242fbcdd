"""Sentiment: which assets a text mentions, and how scores combine. Pure: no I/O."""
