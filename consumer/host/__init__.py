"""A listener process: which listeners it runs, their leases, and what it does beside them."""
