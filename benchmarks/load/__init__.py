"""The load: what asks, and what answers behind the proxies. It all runs on one CPU."""
