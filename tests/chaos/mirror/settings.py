"""The settings of chaos runs of mirrors: runs of several seconds, and short leases of jobs."""

from tests.chaos.settings import *
from tests.chaos.settings import CELERY_BROKER_TRANSPORT_OPTIONS

CDC_RUN_SECONDS = 40
CDC_CLAIM_SECONDS = 5
CELERY_TASK_TIME_LIMIT = CDC_RUN_SECONDS
CELERY_TASK_SOFT_TIME_LIMIT = CDC_RUN_SECONDS - 5
if "visibility_timeout" in CELERY_BROKER_TRANSPORT_OPTIONS:
    CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] = 2 * CDC_RUN_SECONDS
CDC_BULK_STUCK_SECONDS = 20.0
CDC_BULK_PAGE_ROWS = 2_000
