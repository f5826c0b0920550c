"""The Django project: settings, Celery, URLs. No domain code."""

from cdcproject.celery import app as celery_app
from cdcproject.conf.packages import refuse_shadowed

__all__ = ["celery_app"]

refuse_shadowed()
