"""The first load of a mirror."""

from decimal import Decimal

import pytest

from tests.mirror.crm.models import Account
from tests.mirror.load.loading import load_of, loaded, mirror_of, names

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
    pytest.mark.any_python,
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


def test_a_load_waits_until_the_stream_is_live(org):
    mirror = mirror_of(org, is_live=False)

    run = loaded(mirror)

    assert (run.state, mirror.phase) == ("waiting", "new")
    assert "does not receive yet" in run.waits_for
    assert load_of(mirror).error == ""


def test_an_object_without_records_is_in_sync(org):
    mirror = mirror_of(org, "crm.Employee")

    run = loaded(mirror)

    assert (run.state, run.done, mirror.phase) == ("done", 0, "in_sync")
