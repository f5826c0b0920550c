"""What a team would write today: aiosfstream-ng, Django's ORM and Celery, event by event."""
