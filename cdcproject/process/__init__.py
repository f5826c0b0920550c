"""What every process has: liveness, metrics, tracing, the broker and Celery's control panel."""
