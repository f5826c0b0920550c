"""After an overflow or a wildcard the whole entity is compared with the audit log."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, DirtyRecord, Incident, Reconciliation
from consumer.incidents import utc_of
from consumer.ingest.transaction import ingest
from listeners.models import Listener
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)

OVERFLOW = "000000000000000AAA"


def ingested(listener, *messages):
    mappings = [make_mapping(listener, on) for on in ("create", "update")]
    return ingest(listener, lease_of(listener), received(*messages), mappings)


def test_an_overflow_compares_what_was_saved_from_an_hour_before_it(listener):
    result = ingested(listener, change("GAP_OVERFLOW", [OVERFLOW], commitTimestamp=7_200_000))

    job, incident = Reconciliation.objects.get(), Incident.objects.get()
    assert (job.reason, job.entity_name, job.state) == ("overflow", "Account", "waiting")
    assert job.window_start == utc_of(3_600_000)
    assert timezone.now() - job.window_end < timedelta(minutes=5)
    assert (job.entry, job.incident) == (AuditLogEntry.objects.get(), incident)
    assert "compared with the audit log" in incident.action
    assert (result.to_publish.ids, result.reads_planned) == ([], False)


def test_an_overflow_from_an_org_whose_clock_is_ahead_has_a_window_too(listener):
    ahead = timezone.now() + timedelta(days=1)

    ingested(
        listener,
        change("GAP_OVERFLOW", [OVERFLOW], commitTimestamp=round(ahead.timestamp() * 1000)),
    )

    job = Reconciliation.objects.get()
    assert job.window_start < job.window_end


@pytest.mark.parametrize("change_type", ["UPDATE", "GAP_UPDATE"])
def test_a_wildcard_compares_all_records_and_none_is_read_by_its_id(listener, change_type):
    ingested(listener, change(change_type, ["001*"]))

    job = Reconciliation.objects.get()
    assert (job.reason, job.window_start) == ("wildcard", None)
    assert not DirtyRecord.objects.exists()


def test_one_comparison_is_enough_for_several_of_one_entity(listener):
    ingested(
        listener,
        change("GAP_OVERFLOW", [OVERFLOW], commitTimestamp=9_000_000),
        change("GAP_OVERFLOW", [OVERFLOW], commitTimestamp=7_200_000),
        change("GAP_OVERFLOW", [OVERFLOW], entity="Contact"),
        change("UPDATE", ["001*"]),
    )

    jobs = Reconciliation.objects.order_by("reason", "entity_name")
    assert [(job.reason, job.entity_name) for job in jobs] == [
        ("overflow", "Account"),
        ("overflow", "Contact"),
        ("wildcard", "Account"),
    ]
    assert jobs[0].window_start == utc_of(3_600_000)


@pytest.mark.parametrize(("policy", "jobs"), [("deliver", 2), ("record", 0)])
def test_with_the_policy_to_record_nothing_is_compared(listener, policy, jobs):
    Listener.objects.update(gap_policy=policy)
    listener.refresh_from_db()

    ingested(listener, change("GAP_OVERFLOW", [OVERFLOW]), change("UPDATE", ["001*"]))

    assert Reconciliation.objects.count() == jobs
    assert Incident.objects.count() == 2
