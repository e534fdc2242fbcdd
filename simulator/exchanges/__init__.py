"""The exchanges that are simulated, each in a file of its own."""
