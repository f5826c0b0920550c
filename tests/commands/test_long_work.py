"""Long-running commands and tasks store their progress in a job row."""

import base64
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, OperatorAction, Work
from cdcproject.celery import app
from consumer import retention, tasks
from consumer.management.progress import Meter
from handlers.models import Delivery, Redelivery
from handlers.redelivery import job
from tests.commands.running import record, run
from tests.sample_data import change, make_mapping

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "patient_counts"),
]


@pytest.fixture
def dead(listener, monkeypatch):
    monkeypatch.setattr(job, "ROWS", 2)
    make_mapping(listener, handler="tests.skip")
    record(listener, *(change(records=[f"001{number}"]) for number in range(5)))
    Delivery.objects.update(state="dead")


def test_an_interrupted_redelivery_is_cancelled_and_says_so(dead, monkeypatch):
    calls = iter(range(9))

    def interrupt(meter, *_, **__):
        if next(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Meter, "at", interrupt)
    with pytest.raises(SystemExit) as ended:
        run("redeliver_cdc_events", "--state", "dead")

    assert ended.value.code == 130
    row = Redelivery.objects.get()
    assert (row.state, row.done, row.total) == ("cancelled", 4, 5)
    assert Delivery.objects.filter(state="dead").count() == 1
    assert OperatorAction.objects.get(action="cancel").details == {"not_sent": 1}


def test_an_export_is_in_the_action_log_and_its_output_has_entries_alone(dead):
    done = run("export_audit_log", "--entity", "Account")

    assert (len(done.lines), done.err) == (5, "")
    row = Work.objects.get()
    assert (row.kind, row.state, row.done, row.total) == ("export", "done", 5, 5)
    ended, begun = OperatorAction.objects.all()
    assert begun.details["filter"] == {"entity": "Account"}
    assert ended.details == {"rows": 5, "ended": "Done"}


def sent() -> dict[str, int]:
    """Return the arguments of the only message in the broker."""
    with app.connection_for_read() as connection:
        [raw] = connection.default_channel.client.lrange("cdc", 0, -1)
    _, kwargs, _ = json.loads(base64.b64decode(json.loads(raw)["body"]))
    return kwargs


def test_slices_of_a_pruning_are_one_piece_of_work(dead, settings, monkeypatch):
    settings.CDC_RETENTION_DAYS = 30
    Delivery.objects.update(state="succeeded")
    AuditLogEntry.objects.update(received_at=timezone.now() - timedelta(days=40))
    monkeypatch.setattr(retention, "ROWS", 2)
    settings.CDC_RUN_SECONDS = -10_000

    tasks.run_prune()
    row = Work.objects.get()
    assert (row.state, row.done, row.total, row.who) == ("running", 0, 5, "the schedule")
    assert sent() == {"work_id": row.pk}
    settings.CDC_RUN_SECONDS = 300
    tasks.run_prune(work_id=row.pk)

    row = Work.objects.get()
    assert (row.state, row.done) == ("done", 5)
    assert row.outcome["entries"] == 5
    assert not AuditLogEntry.objects.exists()
