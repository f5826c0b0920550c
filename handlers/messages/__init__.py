"""Check messages before a worker handles them, and keep messages of unknown tasks."""
