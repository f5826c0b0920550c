"""The first load of a mirror."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from handlers.listener_rest_client import rest_of
from listeners.salesforce.rest.client import RestClient
from mirror import runs, service
from mirror.load import bulk
from mirror.load.fields import ReadFields
from mirror.load.reader import RestReader
from mirror.status import status_of
from tests.mirror.crm.models import Account
from tests.mirror.load.loading import load_of, loaded, mirror_of, names, work_on
from tests.sample_data import ANN

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


def test_every_record_is_loaded_with_its_fields(org):
    org.create("Account", *({"Name": f"Account {number}"} for number in range(30)))
    [acme] = org.create(
        "Account",
        Name='Acme "Graz",\nAustria',
        AnnualRevenue=12.5,
        NumberOfEmployees=7,
        BillingAddress={"City": "Graz"},
    )
    mirror = mirror_of(org)

    run = loaded(mirror)

    assert (run.state, run.is_right, run.error) == ("done", True, "")
    row = Account.objects.get(pk=acme)
    assert (row.name, row.billing_city) == ('Acme "Graz",\nAustria', "Graz")
    assert (row.annual_revenue, row.number_of_employees) == (Decimal("12.5"), 7)
    assert row.is_complete
    assert row.version is not None
    assert len(names()) == run.done == run.report["rows"]
    assert run.report["read_by"] == "Bulk API"
    assert mirror.phase == "in_sync"
    assert mirror.in_sync_since is not None
    assert mirror.described["Name"] == "string"


def test_a_deleted_record_leaves_a_tombstone(org):
    [gone] = org.create("Account", Name="Gone")
    org.delete("Account", gone)
    mirror = mirror_of(org)

    loaded(mirror)

    assert not Account.objects.filter(pk=gone).exists()
    assert Account.all_objects.get(pk=gone).is_deleted


def test_trap_hand_over_a_load_waits_until_the_stream_is_live(org):
    mirror = mirror_of(org, is_live=False)

    run = loaded(mirror)

    assert (run.state, mirror.phase) == ("waiting", "new")
    assert "does not receive yet" in run.waits_for
    assert load_of(mirror).error == ""


def test_an_object_without_records_is_in_sync(org):
    mirror = mirror_of(org, "crm.Employee")

    run = loaded(mirror)

    assert (run.state, run.done, mirror.phase) == ("done", 0, "in_sync")


def test_a_text_with_a_nul_character_is_the_same_as_over_rest(org):
    org.create("Account", Name="a\0b", Rating="\0")
    mirror = mirror_of(org)

    loaded(mirror)

    row = Account.objects.get()
    assert row.name == "a\ufffdb"
    run, _ = runs.request(mirror, "verify", timezone.now(), options={"depth": "full"})
    assert work_on(run).report.get("differences", 0) == 0


def test_rows_of_an_earlier_mirror_are_compared_before_anything_is_proven(org):
    org.create("Account", Name="Acme")
    gone = Account.all_objects.create(
        pk="001000000000009AAA", synced_at=timezone.now() - timedelta(days=9), is_complete=True
    )
    mirror = mirror_of(org)

    loaded(mirror)

    assert status_of(mirror, timezone.now()).in_sync_as_of is None
    assert status_of(mirror, timezone.now()).state == "catching_up"
    run = work_on(mirror.runs.get(kind="verify"))
    assert run.state == "done"
    gone.refresh_from_db()
    assert gone.is_deleted
    assert status_of(mirror, timezone.now()).in_sync_as_of is not None


def test_rows_of_a_first_load_that_failed_are_compared_before_anything_is_proven(org, monkeypatch):
    """A record may have been permanently deleted since it was read."""
    gone, _ = org.create("Account", {"Name": "Gone"}, {"Name": "Acme"})
    mirror = mirror_of(org)
    with monkeypatch.context() as patch:
        patch.setattr(bulk.BulkLoad, "_check", failing)
        assert loaded(mirror).state == "failed"
    assert Account.objects.filter(pk=gone).exists()
    org.delete("Account", gone)
    org.post("recycle-bin/empty")
    # The deletions of longer ago than a sweep's window are not listed.
    monkeypatch.setattr(RestClient, "deleted_ids", lambda *_: [])

    service.request_run(mirror, "load", by=ANN)
    assert loaded(mirror).state == "done"

    assert status_of(mirror, timezone.now()).in_sync_as_of is None
    assert work_on(mirror.runs.get(kind="verify")).state == "done"
    assert Account.all_objects.get(pk=gone).is_deleted
    assert status_of(mirror, timezone.now()).in_sync_as_of is not None


def failing(*_):
    raise runs.RunFailed("its pages are too short")


def test_records_that_take_too_long_to_count_are_loaded(org):
    org.create("Account", Name="Acme")
    mirror = mirror_of(org)
    org.fault("rest_error", target="rest", channel="queryAll", code="QUERY_TIMEOUT", times=None)

    reader = RestReader(rest_of(mirror.listener), ReadFields("Account", ["Id"], {"Id": "id"}))

    assert reader.count() is None
