"""The average price of each pair, computed every second."""
