"""The `coinwatch` command."""
