"""The one process that decides: desired state, plans carried out, ports, workers."""
