"""Run deliveries in a Celery worker: claim → load → run → settle."""
