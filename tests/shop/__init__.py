"""A Celery project of another team, for tests of external tasks."""
