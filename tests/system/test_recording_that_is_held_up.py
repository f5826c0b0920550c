"""A listener that cannot record is not ready and opens an incident; nothing is lost."""

import pytest
import requests
from django.db import connection, connections

from audit.models import AuditLogEntry, Incident
from handlers.models import Delivery
from listeners.models import Position
from tests.sample_data import listener_of
from tests.sample_handlers import written_groups
from tests.servers import free_port, wait_for

CHANGES = 120


@pytest.mark.django_db(transaction=True)
def test_a_handler_that_leaves_a_transaction_open_holds_up_no_recording(processes, simulator):
    listener_of(simulator, handler="tests.leave_open_when_told")
    ids = simulator.create("Account", *[{"Name": f"Acme {n}"} for n in range(10)])
    processes.worker(concurrency=2)
    processes.listener()
    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 10, what="the first")

    for one in ids:
        simulator.update("Account", one, Description="leave it open")
    for n in range(CHANGES // 10):
        for one in ids:
            simulator.update("Account", one, Name=f"Acme {n}")

    every = 20 + CHANGES
    wait_for(lambda: AuditLogEntry.objects.count() == every, what="the recording")
    wait_for(lambda: not Delivery.objects.filter(state__in=Delivery.UNENDED).exists())
    dead = Delivery.objects.filter(state="dead")
    assert dead.count() == 10
    assert all("left a transaction open on database 'default'" in one.error for one in dead)
    assert Delivery.objects.filter(state="succeeded").count() == every - 10
    assert not written_groups().exists()


def answer_of(port):
    return requests.get(f"http://127.0.0.1:{port}/healthz/ready", timeout=30)


@pytest.fixture
def somebody_else():
    """Another database session."""
    session = connections.create_connection("default")
    yield session
    session.close()


def lock_what_is_recorded(session):
    """Take the lock for which recording another change of the same record waits."""
    session.set_autocommit(False)
    with session.cursor() as cursor:
        if session.vendor == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
        else:
            cursor.execute("SELECT id FROM handlers_delivery FOR UPDATE")


def test_a_recorder_that_waits_for_a_lock_is_not_ready_and_an_incident(
    org_listener, processes, simulator, somebody_else
):
    port = free_port()
    process = processes.listener(
        "--metrics-port", str(port), CDC_OUTAGE_SECONDS="2", CDC_TEST_WATCH_SECONDS="0.5"
    )
    [record] = simulator.create("Account", {"Name": "Acme"})
    wait_for(AuditLogEntry.objects.exists, what="the first change")
    wait_for(lambda: answer_of(port).status_code == 200, what="readiness")

    lock_what_is_recorded(somebody_else)
    simulator.update("Account", record, Name="Acme Ltd")

    wait_for(lambda: answer_of(port).status_code == 503, what="unreadiness")
    assert answer_of(port).json()["listeners"] == {org_listener.name: "stalled"}
    if connection.vendor == "postgresql":  # on SQLite no process can write at all
        opened = Incident.objects.filter(kind=Incident.Kind.OUTAGE, closed_at=None)
        told = opened.filter(summary__startswith="Nothing has been recorded since")
        wait_for(told.exists, what="the incident")
        assert AuditLogEntry.objects.count() == 1
    epoch = Position.objects.get().epoch

    somebody_else.rollback()

    wait_for(lambda: AuditLogEntry.objects.count() == 2, what="the second change")
    wait_for(lambda: answer_of(port).status_code == 200, what="readiness")
    closed = Incident.objects.filter(closed_at=None)
    wait_for(lambda: not closed.exists(), what="the incident's end")
    # On SQLite it may be noted once more just after the commit, and then for three seconds.
    wait_for(lambda: Position.objects.get().unrecorded_since is None, what="the end of the note")
    assert Position.objects.get().epoch == epoch
    assert process.terminate() == 0
