"""Delete data older than the retention, in small transactions."""
