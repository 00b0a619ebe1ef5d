"""Commands over the API; the only place that exits the process."""
