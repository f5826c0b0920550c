"""Delete what is older than the retention, in small transactions."""
