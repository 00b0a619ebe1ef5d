"""The hot path: sockets in, bytes across, counters up. It never waits for control."""
