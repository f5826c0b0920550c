"""The product's settings in this harness: short waits, and faults in each process's steps."""

from tests.chaos.settings import *
from tests.chaos.settings import CELERY_BEAT_SCHEDULE
from tests.faults import injection

for entry in CELERY_BEAT_SCHEDULE.values():
    entry["schedule"] = 2.0

injection.install()
