"""The Django project: settings, Celery, URLs. No domain code."""

from cdcproject.celery import app as celery_app

__all__ = ["celery_app"]
