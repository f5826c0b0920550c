"""The console log format prints each message once."""

import subprocess
import sys

from tests.cdcproject.test_settings import alone
from tests.nursery import ROOT

LOGS = """
import logging
import django
django.setup()
logging.getLogger("django.request").warning("Not Found: /nowhere")
task = {"name": "crm.sync", "return_value": "'failed'"}
logging.getLogger("celery.app.trace").info("Task crm.sync succeeded", extra={"data": task})
"""


def test_with_debug_each_line_is_there_once_and_says_what_it_says_once():
    done = subprocess.run(
        [sys.executable, "-c", LOGS],
        cwd=ROOT,
        env=alone({"DEBUG": "true", "DJANGO_SETTINGS_MODULE": "cdcproject.settings"}),
        check=True,
        capture_output=True,
        text=True,
    )

    missing, task = done.stderr.splitlines()
    assert missing.count("Not Found: /nowhere") == 1
    assert "Task crm.sync succeeded" in task
    assert "return_value" not in task
