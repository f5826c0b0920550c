"""External tasks: Celery tasks of other projects, their brokers, and the reports of their ends."""
