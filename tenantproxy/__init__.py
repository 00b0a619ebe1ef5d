"""A multi-tenant traffic-splitting proxy whose ports open on demand."""

__version__ = "0.1.0"
