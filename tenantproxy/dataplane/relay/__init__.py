"""The kernel relay: chatty connections whose bytes the kernel moves, without waking the worker."""
