"""Dashboards and rules: what people and Prometheus look at. `python -m grafana` writes them."""
