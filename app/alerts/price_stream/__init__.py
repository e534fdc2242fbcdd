"""The `/prices` stream of average prices."""
