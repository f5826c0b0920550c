"""The settings of the peer's own project."""

import os

import dj_database_url

SECRET_KEY = "only for this benchmark, which serves nobody"
INSTALLED_APPS = ["benchmarks.peer"]
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
CELERY_BROKER_URL = os.environ["CELERY_BROKER_URL"]
CELERY_TASK_IGNORE_RESULT = True
#: The product's queue, too: `Valkey.waiting` counts its messages after a run.
CELERY_TASK_DEFAULT_QUEUE = "cdc"
