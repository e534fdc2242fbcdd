"""What Alembic runs. The connection, inside a transaction, comes from warehouse.db.migrate."""

from __future__ import annotations

from alembic import context

from warehouse.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
