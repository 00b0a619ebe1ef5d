"""Every metric name in one file, and the collector that reads shared counters."""
