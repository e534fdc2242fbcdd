"""Who may connect: origins, tokens, TLS and rate limits."""
