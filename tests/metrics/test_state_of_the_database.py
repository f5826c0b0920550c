"""Every process exports the metrics that are read from the database."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from prometheus_client import generate_latest

from audit.models import Incident, Throughput, Trouble
from consumer.ingest.transaction import ingest
from consumer.status import db_metrics
from consumer.status.db_metrics import State
from handlers.mappings import pause
from handlers.models import Delivery, Worker
from listeners.models import OrgUsage, Position
from tests.handlers.bundling import deliver
from tests.hanging_postgres import hanging_postgres
from tests.metrics.scraped import Scraped
from tests.mirror.adding import add, in_sync
from tests.mirror.crm.models import Account
from tests.sample_data import ANN, change, lease_of, make_listener, make_mapping, received
from tests.servers import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("patient_metrics"),
]


def told():
    return Scraped(generate_latest(State()).decode())


@pytest.fixture
def now():
    return timezone.now()


def test_how_each_listener_stands(listener, now):
    make_listener(name="off", enabled=False)
    lease_of(listener)
    Position.objects.update(
        state="receiving", replay_id="7", last_received_at=now,
        last_event_at=now - timedelta(hours=12),
    )  # fmt: skip
    Throughput.objects.create(listener=listener, minute=now, events=1234)
    OrgUsage.objects.create(
        connection=listener.connection, maximum=5000, remaining=2000, read_at=now
    )

    found = told()

    name = listener.name
    assert found.total("cdc_state_readable") == 1
    assert found.by("listener", "cdc_listener_enabled") == {name: 1}
    assert found.by("state", "cdc_listener_state", listener=name) == {"receiving": 1}
    assert found.by("state", "cdc_listener_state", listener="off") == {"stopped": 1}
    assert found.total("cdc_last_received_timestamp_seconds") == pytest.approx(now.timestamp())
    assert found.by("listener", "cdc_runway_hours") == {name: pytest.approx(60, abs=0.1)}
    assert found.total("cdc_events_delivered_24h", listener=name) == 1234
    assert found.total("cdc_org_events_limit", listener=name) == 5000
    assert found.total("cdc_org_events_remaining", listener=name) == 2000


def test_what_waits_and_what_is_wrong(listener, now):
    queued = deliver(listener, "tests.remember", 3)
    Delivery.objects.filter(pk__in=queued).update(queued_at=now - timedelta(minutes=20))
    # A task whose end is not reported yet: it may be running.
    Delivery.objects.filter(pk=queued[0]).update(
        is_external=True, is_tracked=True, queued_at=now - timedelta(minutes=50)
    )
    paused = make_mapping(listener, "update", "tests.skip")
    assert pause.pause([paused], ANN, "", now)
    changes = received(change("UPDATE", records=["001B"]), change("UPDATE", records=["001C"]))
    ingest(listener, lease_of(listener), changes, [paused])
    for key in ("a", "b"):
        Incident.objects.report(listener.pk, Trouble("gap", key, "one", "read it"), now)

    found = told()

    of_it = {"listener": listener.name}
    assert found.by("state", "cdc_backlog_deliveries", **of_it) == {"queued": 5}
    assert found.total("cdc_backlog_deliveries", state="dead", **of_it) == 0
    assert found.total("cdc_oldest_queued_seconds") == pytest.approx(1200, abs=60)
    assert found.by("kind", "cdc_incidents_open", **of_it) == {"gap": 2}
    assert found.total("cdc_lag_seconds", **of_it)
    assert found.total("cdc_paused_deliveries", handler="tests.skip", **of_it) == 2
    assert pause.resume([paused], ANN, "", now)
    assert told().total("cdc_paused_deliveries", **of_it) is None


def test_which_workers_hear_what_is_sent(listener, now):
    make_mapping(listener, queue="crm")
    make_mapping(listener, "update", queue="slow")
    for name, queues in (("one", ["cdc", "crm"]), ("two", ["crm"])):
        Worker.objects.beat(name, 1, queues=queues, concurrency=1, started_at=now)

    found = told()

    assert found.total("cdc_workers") == 2
    assert found.by("queue", "cdc_queue_workers") == {"cdc": 1, "crm": 2}
    assert found.total("cdc_queue_workers", queue="slow") == 0


def test_how_each_mirror_stands(listener, now):
    with transaction.atomic():
        mirror = in_sync(add(listener))
    Account.all_objects.create(salesforce_id="001000000000001AAA", is_complete=True)
    run = mirror.runs.create(
        kind="verify", state="running", created_at=now, started_at=now, total=8, done=2
    )
    mirror.differences.create(run=run, record_id="001", reason="formula", found_at=now)
    known_until = round(now.timestamp() * 1000) - 60_000
    of_record = {"record_id": "001", "since": known_until, "complete_until": known_until}
    mirror.dirty_rows.create(**of_record, reason="gap", due_at=now)

    found = told()

    of_it = {"model": "crm.Account"}
    assert found.total("cdc_mirror_rows", **of_it) == 1
    assert found.total("cdc_mirror_rows_in_salesforce", **of_it) == 0
    assert found.total("cdc_mirror_in_sync", **of_it) == 1
    proven = found.total("cdc_mirror_as_of_timestamp_seconds", **of_it)
    assert proven == pytest.approx(known_until / 1000, abs=0.01)
    assert found.total("cdc_mirror_dirty", **of_it) == 1
    assert found.total("cdc_mirror_differences_open", **of_it) == 1
    assert found.by("kind", "cdc_mirror_progress_ratio", **of_it) == {"verify": 0.25}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="there is no server to hang")
def test_a_database_that_hangs_is_not_waited_for(listener, monkeypatch):
    monkeypatch.setattr(db_metrics, "PATIENCE_SECONDS", 1.0)
    state = State()
    with hanging_postgres():
        found = Scraped(generate_latest(state).decode())

    assert found.total("cdc_state_readable") == 0
    assert found.total("cdc_listener_enabled") is None
    monkeypatch.setattr(db_metrics, "PATIENCE_SECONDS", 60.0)

    def is_readable():
        return Scraped(generate_latest(state).decode()).total("cdc_state_readable") == 1

    wait_for(is_readable)
