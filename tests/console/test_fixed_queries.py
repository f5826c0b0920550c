"""Each page of the console takes as many queries for twenty rows as for three."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from guardian.shortcuts import assign_perm

from audit.models import AuditLogEntry, Incident, OperatorAction, Quarantined, Reconciliation, Work
from console.home import facts, page
from handlers.models import Delivery, DeliveryAttempt, HandlerMapping, Redelivery, Worker
from listeners.models import Connection, Listener, Position
from tests.sample_data import make_deleted_mapping, make_mapping

pytestmark = pytest.mark.slow

RECORD = "0015g00000EqG9GAAV"
LOG = "/admin/audit/auditlogentry/"
DELIVERIES = "/admin/handlers/delivery/"
API = "/api/v1/"
#: `{…}` is the first row's id.
PAGES = (
    "/admin/",
    "/admin/home/",
    LOG,
    f"{LOG}?state=dead&handler=tests.remember",
    f"{LOG}?q={RECORD}",
    f"{LOG}{{entry}}/change/",
    f"{LOG}record/{RECORD}/",
    DELIVERIES,
    f"{DELIVERIES}?state=dead",
    f"{DELIVERIES}{{delivery}}/change/",
    f"{DELIVERIES}dead-letters/",
    f"{DELIVERIES}dead-letters/?state=retrying",
    "/admin/handlers/redelivery/",
    "/admin/handlers/redelivery/{redelivery}/change/",
    "/admin/handlers/handlermapping/",
    "/admin/handlers/handlermapping/{mapping}/change/",
    "/admin/handlers/worker/",
    "/admin/auth/user/{user}/change/",
    "/admin/auth/group/{group}/change/",
    "/admin/listeners/connection/",
    "/admin/listeners/listener/",
    "/admin/listeners/listener/{listener}/change/",
    "/admin/listeners/listener/{listener}/drawing/",
    "/admin/audit/incident/",
    "/admin/audit/incident/{incident}/change/",
    "/admin/audit/operatoraction/",
    "/admin/audit/quarantined/",
    "/admin/audit/reconciliation/",
    "/admin/audit/work/",
    "/admin/audit/work/overview/",
    f"{API}audit-log/",
    f"{API}deliveries/",
    f"{API}deliveries/{{delivery}}/",
    f"{API}incidents/",
    f"{API}actions/",
    f"{API}redeliveries/",
    f"{API}listeners/",
    f"{API}connections/",
    f"{API}handler-mappings/",
    f"{API}status/",
)


@pytest.fixture
def queries(admin_client, listener):
    """Returns the number of queries of each page."""
    mapping = make_mapping(listener, "update", handler="tests.remember")
    _fill(listener, mapping, range(3))
    first = {
        model._meta.model_name: model.objects.earliest("pk").pk
        for model in (Delivery, Redelivery, Incident, User, Group)
    }
    ids = {
        **first,
        "entry": AuditLogEntry.objects.earliest("pk").pk,
        "mapping": mapping.pk,
        "listener": listener.pk,
    }

    def count() -> dict[str, int]:
        return {url: _count(admin_client, url.format(**ids)) for url in PAGES}

    return count


def _count(client, address: str) -> int:
    headers = {"Cache-Control": "no-cache"}
    # The first request also does work that is done only once.
    assert client.get(address, headers=headers).status_code == 200, address
    for shared in (page.PARTS, facts.LAST_DAY):  # or a slow machine reads them again, or not
        shared.clear()
    with CaptureQueriesContext(connection) as captured:
        client.get(address, headers=headers)
    return len(captured)


def test_twenty_rows_of_everything_take_as_many_as_three(queries, listener):
    few = queries()
    _fill(listener, HandlerMapping.objects.earliest("pk"), range(3, 20))
    many = queries()
    assert {url: (few[url], many[url]) for url in PAGES if many[url] > few[url]} == {}


def _fill(listener: Listener, mapping: HandlerMapping, numbers: range) -> None:
    now = timezone.now()
    for number in numbers:
        _add_a_listener(number, now)
        entry = _entry(listener, number, now)
        for state in ("succeeded", "dead", "retrying", "blocked"):
            _deliver(entry, mapping if state == "dead" else None, state, number, now)
        about = {"listener": listener, "opened_at": now, "last_seen_at": now}
        Incident.objects.create(kind="gap", key=f"{number}", summary="Gap", **about)
        OperatorAction.objects.create(at=now, who=f"user{number}", through="api", action="stop")
        Quarantined.objects.create(
            listener=listener, raw="{", digest=f"{number}", error="odd", received_at=now
        )
        times = {"window_end": now, "due_at": now, "created_at": now}
        Reconciliation.objects.create(listener=listener, reason="asked", **times)
        for state in ("running", "done"):
            Work.objects.create(kind="export", state=state, started_at=now, seen_at=now)
        Worker.objects.create(
            name="celery@here", pid=number, queues=[f"q{number}"], started_at=now, seen_at=now
        )


def _add_a_listener(number: int, now) -> None:
    org = Connection.objects.create(name=f"far-org{number}", base_url="http://localhost")
    one = Listener.objects.create(name=f"far-listener{number}", connection=org)
    Position.objects.create(listener=one, state="receiving", last_received_at=now)
    for holder in (User.objects.earliest("pk"), Group.objects.earliest("pk")):
        assign_perm("view_listener", holder, one)
        assign_perm("view_connection", holder, org)
    paused = {"paused_at": now, "paused_by": "ann"}
    make_mapping(one, "create", handler="tests.remember", queue=f"q{number}", **paused)
    make_mapping(one, "update", handler=f"gone.handler{number}")


def _entry(listener: Listener, number: int, now) -> AuditLogEntry:
    return AuditLogEntry.objects.create(
        listener=listener,
        channel="/data/ChangeEvents",
        entity_name="Account",
        record_id=RECORD,
        change_type="UPDATE",
        transaction_key="one",
        sequence_number=number,
        commit_timestamp=number,
        changed_data={"Phone": f"{number}"},
        received_at=now,
    )


def _deliver(entry, mapping, state: str, number: int, now) -> None:
    made = Delivery.objects.create(
        entry=entry,
        mapping=mapping or make_deleted_mapping(entry.listener),
        handler="tests.remember" if mapping else f"handler{number}",
        state=state,
        error="odd" if state in ("dead", "retrying") else "",
        error_group=f"{number:016x}" if state in ("dead", "retrying") else "",
        redelivery=Redelivery.objects.create(requested_by="ann", requested_at=now, state="running"),
        created_at=now,
        started_at=now,
        due_at=now + timedelta(hours=1),
    )
    DeliveryAttempt.objects.create(
        delivery=made, number=1, outcome="failed", started_at=now, finished_at=now
    )
