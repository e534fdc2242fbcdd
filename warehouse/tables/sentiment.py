"""What people seem to think of assets, day by day."""
