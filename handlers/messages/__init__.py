"""Check messages before a worker handles them, and keep those of unknown tasks."""
