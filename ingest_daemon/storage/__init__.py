"""From the queue to Postgres, or to the spool while Postgres is unavailable."""
