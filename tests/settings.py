"""The product's settings, with a test database that other processes can open too."""

import os

from tests import clock, crash_points
from tests.environment import prepare

_folder = prepare()
clock.install()
crash_points.install()

from cdcproject.conf.logging import logging_config
from cdcproject.conf.servers import SQLITE
from cdcproject.settings import *
from cdcproject.settings import CACHES, DATABASES, LOG_LEVEL, LOGGING, REDIS_URL

if DATABASES["default"]["ENGINE"] == SQLITE:
    # In memory it would be seen by one process only.
    DATABASES["default"]["TEST"] = {"NAME": str(_folder / "test.sqlite3")}

# The log also goes as JSON to a file of this name.
if _json_log := os.environ.get("CDC_TEST_JSON_LOG"):
    _json = logging_config(LOG_LEVEL, "json")["formatters"]["structured"]
    LOGGING["formatters"]["json"] = _json
    LOGGING["handlers"]["json"] = {
        "class": "logging.FileHandler",
        "filename": _json_log,
        "formatter": "json",
    }
    LOGGING["root"]["handlers"].append("json")

if REDIS_URL:
    # A busy machine is no Redis that is away, without which each process counts for itself.
    CACHES["default"]["OPTIONS"] = {"socket_timeout": 60, "socket_connect_timeout": 60}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Short waits: what they decide is which attempt is the last, never whether a test passes.
CDC_LOGIN_WAITS = (0.05, 0.1)
CDC_RETRY_BASE_SECONDS = 0.05
CDC_RETRY_CAP_SECONDS = 0.2
CDC_RECONNECT_CAP_SECONDS = 0.5
CDC_LONG_BACKOFF = (0.2, 0.5)
CDC_QUOTA_PROBE = 0.3
CDC_BULK_PAGE_ROWS = 10
CDC_CAUGHT_UP_SECONDS = 0.5
CDC_SWEEP_SECONDS = 0.5
CDC_WATCH_SECONDS = float(os.environ.get("CDC_TEST_WATCH_SECONDS", "30"))
CDC_HAND_OVER_SECONDS = 0.5
CDC_QUEUED_SECONDS = 2.0
