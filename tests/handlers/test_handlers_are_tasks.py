"""Each handler is a Celery task under its own name in every process, even if it is registered
late."""

import json
import subprocess
import sys

import pytest
from celery import current_app

from consumer.ingest.transaction import ingest
from handlers import cdc_handler
from handlers.models import Delivery
from handlers.sdk import registry
from tests.nursery import ROOT
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.slow

#: The imports of each process before it serves.
PROCESSES = {
    "worker or beat": "from cdcproject.celery import app; app.loader.init_worker(); app.finalize()",
    "listener": "import django; django.setup(); import consumer.host.supervisor",
    "web": "import cdcproject.wsgi, cdcproject.urls",
}
REPORT = """
import json, sys
from celery import current_app
from handlers.sdk import registry
names = registry.names()
lacking = sorted(set(names) - set(current_app.tasks))
print(json.dumps([names, lacking, "handlers.worker.run" in sys.modules]))
"""


@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_knows_each_handler_as_a_task(process):
    done = subprocess.run(
        [sys.executable, "-c", PROCESSES[process] + REPORT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names, lacking, has_runner = json.loads(done.stdout.splitlines()[-1])

    assert "handlers.log_change" in names
    assert lacking == []
    assert process != "web" or not has_runner


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("broker")
def test_a_handler_that_is_registered_late_is_run_by_its_task(listener, monkeypatch):
    monkeypatch.setattr(registry, "_handlers", registry._handlers.copy())
    events = []

    @cdc_handler(name="tests.late")
    def late(event):
        events.append(event)

    mapping = make_mapping(listener, handler="tests.late")
    ingest(listener, lease_of(listener), received(change()), [mapping])
    delivery = Delivery.objects.get()

    assert current_app.tasks["tests.late"](delivery_ids=[delivery.pk]) == "succeeded"

    assert [event.metadata.entity_name for event in events] == ["Account"]
