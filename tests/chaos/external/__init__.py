"""Changes for the tasks of another Celery project, whose workers are killed and whose broker is
flushed and restarted; then its own log must agree with every outcome."""
