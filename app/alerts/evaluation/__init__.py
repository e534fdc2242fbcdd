"""From commits in Postgres to claimed alerts: live, after an interruption, and backtested."""
