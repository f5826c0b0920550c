"""The usual solution without this product: aiosfstream-ng, Django's ORM and Celery, one event at a
time."""
