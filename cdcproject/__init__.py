"""The Django project: settings, Celery, URLs. No domain code."""

from cdcproject import hidden_packages
from cdcproject.celery import app as celery_app

__all__ = ["celery_app"]

hidden_packages.refuse()
