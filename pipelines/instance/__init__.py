"""Dagster's instance: its configuration, storage, files and run launcher.

``dagster.yaml`` and ``workspace.yaml`` are here, so that an installed package has them; those at the top of
the repository are links to these.
"""
