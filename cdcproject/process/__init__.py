"""Parts of every process: liveness, metrics, tracing, the broker, and Celery's control panel."""
