"""What ``dagster.yaml`` names: where Dagster keeps its runs, files and logs, and how it watches runs."""
