"""The simulated exchanges, one module each."""
