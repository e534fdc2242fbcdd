"""Postgres: tables, migrations, the embedded server, bulk writes, named reads, notifications."""
