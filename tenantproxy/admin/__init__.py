"""The admin API: HTTP in, the facade of control out; it decides nothing."""
