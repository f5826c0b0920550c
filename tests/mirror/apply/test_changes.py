"""Changes of records, applied to their rows as the deliveries of `mirror.apply`."""

from decimal import Decimal

import pytest

from audit.models import AuditLogEntry
from handlers.models import Delivery
from handlers.redelivery import new_handlers
from mirror.apply import upsert
from mirror.apply.guard import read_time
from mirror.models import DirtyRow, Mirror
from mirror.schema.columns import columns_of
from tests.mirror.apply.changing import (
    ACCOUNT,
    ACME,
    START,
    a_mirror,
    apply,
    event,
    record,
    time_of,
)
from tests.mirror.apply.refusing import refusing
from tests.mirror.crm.models import Account

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def mirror(listener):
    return a_mirror(listener)


def load(*ids, version=0, read_at=60_000, **values):
    """Write rows as a load does that began `read_at` ms after START."""
    own = ("salesforce_id", "is_deleted", "version", "raw")
    rows = [(key, False, read_time(START + version), {}, *values.values()) for key in ids]
    names = [*own, *values]
    return upsert.write(columns_of(Account), "default", names, rows, read_time(START + read_at))


def dirty():
    return {row.record_id: (row.reason, row.since - START) for row in DirtyRow.objects.all()}


def states():
    return set(Delivery.objects.filter(handler="mirror.apply").values_list("state", flat=True))


def test_a_new_record_is_a_row_with_every_field(listener, mirror):
    apply(
        listener,
        event(
            "CREATE",
            500,
            Name="Acme",
            AnnualRevenue=12.5,
            BillingAddress={"City": "Graz", "Street": "Ring 1"},
            Rating="Hot",
        ),
    )

    row = Account.objects.get()
    assert (row.name, row.billing_city, row.billing_street) == ("Acme", "Graz", "Ring 1")
    assert row.annual_revenue == Decimal("12.5")
    assert row.raw == {"Rating": "Hot"}
    assert row.phone is None
    assert row.version == time_of(START)
    assert row.synced_at == time_of(START + 500) + (read_time(1) - read_time(0)) / 1000
    assert not dirty()


def test_an_update_changes_its_fields_alone(listener, mirror):
    created = event(
        "CREATE", Name="Acme", Phone="1", BillingAddress={"City": "Graz", "Street": "Ring 1"}
    )
    apply(listener, created, event(at=10, Phone=None, BillingAddress={"City": "Linz"}))

    row = Account.objects.get()
    assert (row.name, row.phone) == ("Acme", None)
    assert (row.billing_city, row.billing_street) == ("Linz", "Ring 1")
    assert not dirty()


def test_an_address_that_was_cleared_clears_its_components(listener, mirror):
    created = event("CREATE", Name="Acme", BillingAddress={"City": "Graz", "Street": "Ring 1"})
    apply(listener, created, event(at=10, BillingAddress=None))

    assert Account.objects.get().billing_street is None


def test_fields_without_a_column_are_in_raw(listener, mirror):
    apply(listener, event("CREATE", Name="Acme", Rating="Hot"), event(at=10, Rating="Cold"))
    assert Account.objects.get().raw == {"Rating": "Cold"}


def test_a_value_that_its_column_cannot_hold_is_in_raw_until_it_fits(listener, mirror):
    apply(listener, event("CREATE", Name="Acme", NumberOfEmployees="many"))
    row = Account.objects.get()
    assert (row.number_of_employees, row.raw) == (None, {"NumberOfEmployees": "many"})
    apply(listener, event(at=10, NumberOfEmployees=7))
    row.refresh_from_db()
    assert (row.number_of_employees, row.raw) == (7, {})


def test_trap_5_an_event_for_a_row_that_is_not_loaded_yet_leaves_an_incomplete_row(
    listener, mirror
):
    apply(listener, event(Phone="1"))

    row = Account.all_objects.get()
    assert not row.is_complete
    assert row.phone is None
    assert not Account.objects.exists()
    assert dirty() == {ACME: ("partial", 0)}
    assert states() == {"succeeded"}

    assert load(ACME, name="Loaded").applied == 1
    assert Account.objects.get().name == "Loaded"


def test_trap_3_an_update_older_than_the_loaded_row_is_skipped_whole(listener, mirror):
    load(ACME, version=50_000, name="Acme", phone="2")
    apply(listener, event(at=10_000, Phone="1", Industry="Banking"))
    row = Account.objects.get()
    assert (row.phone, row.industry) == ("2", None)
    assert not dirty()


def test_trap_1_a_long_transaction_is_compared_by_last_modified_date(listener, mirror):
    # Saved before the record was read, and committed long after.
    load(ACME, version=5_000, read_at=100_000, name="Acme", phone="1")
    apply(listener, event(at=310_000, version=10_000, Phone="2"))
    assert Account.objects.get().phone == "2"


def test_trap_2_an_event_of_the_second_in_which_the_row_was_read_is_read_again(listener, mirror):
    load(ACME, version=60_000, read_at=60_000, name="Acme", phone="1")
    apply(listener, event(at=60_400, Phone="2"))
    assert Account.objects.get().phone == "1"
    assert dirty() == {ACME: ("same_second", 60_400)}


def test_events_of_a_dirty_record_wait_for_its_read(listener, mirror):
    load(ACME, version=60_000, read_at=60_000, name="Acme", phone="1")
    apply(listener, event(at=60_400, Phone="2"), event(at=90_000, Phone="3"))
    assert Account.objects.get().phone == "1"
    assert dirty() == {ACME: ("same_second", 90_000)}


def test_events_of_one_second_apply_in_their_order(listener, mirror):
    apply(
        listener,
        event("CREATE", 100, Name="Acme", Phone="0"),
        *(event(at=100 + number, version=100, Phone=f"{number}") for number in range(1, 4)),
    )
    assert Account.objects.get().phone == "3"
    assert not dirty()


def test_trap_4_a_delete_leaves_a_tombstone_that_refuses_older_reads(listener, mirror):
    apply(listener, event("CREATE", Name="Acme"), event("DELETE", 30_000))
    row = Account.all_objects.get()
    assert row.is_deleted
    assert row.name == "Acme"
    assert not Account.objects.exists()
    assert load(ACME, version=0, read_at=10_000, name="Back").applied == 0
    assert Account.all_objects.get().is_deleted


def test_a_delete_of_an_unknown_record_leaves_a_tombstone(listener, mirror):
    apply(listener, event("DELETE", 30_000))
    assert Account.all_objects.get().is_deleted
    assert load(ACME, version=0, read_at=10_000, name="Back").applied == 0


def test_an_undelete_clears_the_tombstone(listener, mirror):
    apply(
        listener,
        event("CREATE", Name="Acme", Phone="1"),
        event("DELETE", 30_000),
        event("UNDELETE", 40_000, Name="Acme", Phone="1"),
    )
    row = Account.objects.get()
    assert (row.name, row.phone) == ("Acme", "1")
    assert not dirty()


@pytest.mark.parametrize("field", ["Phone", "Rating"])  # with a column, and without one
def test_an_undelete_without_a_value_that_the_row_has_is_read(listener, mirror, field):
    """No user can clear a field in the recycle bin, so that the field was hidden from the user."""
    apply(
        listener,
        event("CREATE", Name="Acme", **{field: "1"}),
        event("DELETE", 30_000),
        event("UNDELETE", 40_000, Name="Acme"),
    )
    row = Account.all_objects.get()
    assert row.phone == "1" or row.raw == {"Rating": "1"}
    assert dirty() == {ACME: ("field", 40_000)}


def test_an_update_after_a_delete_is_read(listener, mirror):
    apply(listener, event("CREATE"), event("DELETE", 30_000), event(at=40_000, Phone="1"))
    assert Account.all_objects.get().is_deleted
    assert dirty() == {ACME: ("same_second", 40_000)}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"LastModifiedDate": None}, "no_version"),
        ({"Unknown__c": 1}, "field"),
        ({"Description": {"diff": "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y"}}, "diff"),
    ],
)
def test_what_an_event_cannot_tell_is_read(listener, mirror, changed, reason):
    apply(listener, event("CREATE", Name="Acme"), event(at=10_000, Phone="1", **changed))
    assert Account.objects.get().phone is None
    assert dirty() == {ACME: (reason, 10_000)}


def test_a_mirror_that_was_not_compared_with_the_org_yet_reads_its_records(listener, mirror):
    Mirror.objects.update(described={})
    apply(listener, event("CREATE", Name="Acme"))
    assert dirty() == {ACME: ("field", 0)}


def test_a_field_that_the_user_cannot_see_keeps_its_value(listener, mirror):
    apply(listener, event("CREATE", Name="Acme", Phone="1"))
    hidden = {name: kind for name, kind in mirror.described.items() if name != "Phone"}
    Mirror.objects.update(described=hidden)
    apply(listener, event("DELETE", 10_000), event("UNDELETE", 20_000, Name="Acme"))
    assert Account.objects.get().phone == "1"


def test_a_whole_name_is_derived_from_its_parts(listener):
    from tests.mirror.crm.models import Contact

    names = ("FirstName", "LastName", "Salutation", "MiddleName", "Suffix", "Name")
    described = dict.fromkeys((*names, "LastModifiedDate"), "string")
    a_mirror(listener, "crm.Contact", described)
    apply(
        listener,
        event("CREATE", entity="Contact", Name={"FirstName": "Ann", "LastName": "Ito"}),
        event(at=10, entity="Contact", Name={"LastName": "Berg"}),
    )
    contact = Contact.objects.get()
    assert (contact.first_name, contact.last_name, contact.name) == ("Ann", "Berg", "Ann Berg")
    apply(listener, event(at=20_000, entity="Contact", Name={"Suffix": "Jr."}))
    assert dirty() == {ACME: ("field", 20_000)}


def test_every_part_of_a_name_is_applied(listener):
    from tests.mirror.crm.models import Contact

    names = ("FirstName", "LastName", "InformalName", "Name")
    a_mirror(listener, "crm.Contact", dict.fromkeys((*names, "LastModifiedDate"), "string"))
    apply(
        listener,
        event("CREATE", entity="Contact", Name={"LastName": "Ito", "InformalName": "Annie"}),
    )
    contact = Contact.objects.get()
    assert (contact.name, contact.raw) == ("Ito", {"InformalName": "Annie"})

    apply(listener, event(at=10, entity="Contact", Name={"InformalName": "Nan"}))
    contact.refresh_from_db()
    assert (contact.name, contact.raw) == ("Ito", {"InformalName": "Nan"})


PERSONS = ACCOUNT | dict.fromkeys(("FirstName", "LastName", "PersonEmail"), "string")


def test_an_update_of_a_person_account_is_read_since_it_lacks_what_its_contact_has(listener):
    a_mirror(listener, described=PERSONS)
    load(ACME, name="Ann Ito")
    Account.objects.update(raw={"LastName": "Ito", "PersonEmail": "old@example.com"})

    apply(listener, event(at=90_000))  # PersonEmail was changed

    row = Account.objects.get()
    assert row.version == time_of(START)
    assert dirty() == {ACME: ("person", 90_000)}


def test_an_update_of_a_company_among_person_accounts_is_applied(listener):
    a_mirror(listener, described=PERSONS)
    apply(listener, event("CREATE", Name="Acme"), event(at=10, Phone="1"))
    assert Account.objects.get().phone == "1"
    assert not dirty()


def test_the_deliveries_of_a_removed_mirror_are_skipped(listener, mirror):
    Mirror.objects.all().delete()
    apply(listener, event("CREATE", Name="Acme"))
    assert states() == {"skipped"}
    assert not Account.all_objects.exists()


def test_a_backlog_of_many_records_is_written_together(listener, mirror):
    ids = [f"001{number:012d}AAA" for number in range(150)]
    apply(listener, event("CREATE", records=ids, Name="Acme"))
    apply(listener, event("UPDATE", 10, records=ids, Phone="1"))
    assert Account.objects.filter(phone="1", name="Acme").count() == 150


def test_a_row_that_the_database_refuses_holds_up_no_other(listener, mirror):
    ids = [f"001{number:012d}AAA" for number in range(5)]
    with refusing("Forbidden"):
        created = [
            event("CREATE", n, [key], Name="Forbidden" if n == 3 else "Acme")
            for n, key in enumerate(ids)
        ]
        apply(listener, *created)
    assert Account.objects.filter(name="Acme").count() == 4
    assert dirty() == {ids[3]: ("difference", 3)}
    assert DirtyRow.objects.get().error
    assert states() == {"succeeded"}


def test_a_record_created_before_the_load_is_read_since_it_may_not_exist_any_more(listener, mirror):
    Mirror.objects.update(load_started_at=time_of(START + 10_000))

    apply(listener, event("CREATE", 0, Name="Acme"))

    assert not Account.objects.exists()
    assert DirtyRow.objects.get().record_id == ACME


@pytest.fixture
def added_again(listener, mirror):
    """A mirror whose first load has not ended; the table has a row that an earlier one left."""
    load(ACME, read_at=0, name="Old", phone="1")
    Mirror.objects.update(in_sync_since=None, created_at=time_of(START + 100_000))


@pytest.mark.usefixtures("added_again")
def test_an_update_of_a_row_that_an_earlier_mirror_left_makes_no_mix_of_old_and_new(listener):
    apply(listener, event("UPDATE", 200_000, Phone="2"))

    row = Account.objects.get()
    assert (row.name, row.phone, row.synced_at) == ("Old", "1", time_of(START))
    assert dirty() == {ACME: ("partial", 200_000)}


@pytest.mark.usefixtures("added_again")
def test_a_record_restored_since_an_earlier_mirror_is_read(listener):
    Account.all_objects.update(is_deleted=True)

    apply(listener, event("UNDELETE", 200_000, Name="New"))

    assert not Account.objects.exists()
    assert dirty() == {ACME: ("partial", 200_000)}


@pytest.mark.usefixtures("added_again")
def test_a_record_that_is_deleted_after_an_earlier_mirror_left_its_row_is_deleted(listener):
    apply(listener, event("DELETE", 200_000))

    assert Account.all_objects.get().is_deleted
    assert dirty() == {}


@pytest.mark.usefixtures("added_again")
def test_a_row_that_the_first_load_has_read_is_updated(listener):
    load(ACME, version=150_000, read_at=160_000, name="New", phone="1")

    apply(listener, event("UPDATE", 200_000, Phone="2"))

    row = Account.objects.get()
    assert (row.name, row.phone) == ("New", "2")
    assert dirty() == {}


def test_an_old_row_is_updated_once_the_first_load_has_ended(listener, mirror):
    load(ACME, read_at=0, name="Old", phone="1")
    Mirror.objects.update(created_at=time_of(START + 100_000))

    apply(listener, event("UPDATE", 200_000, Phone="2"))

    row = Account.objects.get()
    assert (row.name, row.phone) == ("Old", "2")


def test_changes_from_before_the_mirror_are_not_redelivered_to_it(listener):
    record(listener, event("CREATE", 0, Name="Acme"))
    a_mirror(listener)

    assert not new_handlers.counted([AuditLogEntry.objects.get().pk], "")
