"""The ingest daemon: websockets to group commits in Postgres."""
