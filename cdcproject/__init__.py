"""The Django project: settings, Celery, URLs. No domain code."""

from cdcproject.celery import app as celery_app
from cdcproject.conf import hidden_packages

__all__ = ["celery_app"]

hidden_packages.refuse()
