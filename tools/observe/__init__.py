"""A running daemon with everything going on, watched by a real Prometheus: `make observe`."""
