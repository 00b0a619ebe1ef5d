"""Measurements of the daemon as a whole; `python -m benchmarks` runs them."""
