"""Connections, migrations, bulk writes, notifications, partitions and roles."""
