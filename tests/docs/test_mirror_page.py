"""The queries, the handler and the database role of docs/mirror.md work as it says."""

import pytest
from django.db import connection, transaction
from django.utils import timezone

from mirror.apply import row_page, upsert
from mirror.schema.columns import columns_of
from tests.docs.examples import DOCS, blocks, defined
from tests.mirror.crm.models import Account

PAGE = DOCS / "mirror.md"
ROWS = 200


@pytest.fixture
def page(crm):
    return defined(PAGE)


def account_id(number):
    return f"0015g0000000{number:03}AAA"


def test_its_queries_find_what_they_say(page, crm):
    for number, city in enumerate(("Graz", "Graz", "Lyon")):
        crm.Account.objects.create(salesforce_id=account_id(number), billing_city=city)
    crm.Account.objects.filter(salesforce_id=account_id(1)).update(is_deleted=True)
    for number, parent in enumerate((account_id(0), account_id(1), account_id(9), None)):
        crm.Contact.objects.create(salesforce_id=f"0035g{number:013}", account_id=parent)

    assert [one.salesforce_id for one in page["graz"]] == [account_id(0)]
    assert [one.salesforce_id for one in page["deleted"]] == [account_id(1)]
    assert [one.account_id for one in page["contacts"]] == [account_id(0)]
    assert {one.account_id for one in page["orphans"]} == {account_id(1), account_id(9)}


def test_its_handler_gets_the_whole_record(page, cdc_event, cdc_deliver, capsys):
    row = Account(salesforce_id=account_id(0), name="Acme", billing_city="Graz")
    gone = Account(salesforce_id=account_id(1), is_deleted=True)
    events = [
        cdc_event("Account", "update", record_id=one.pk, changed={"Phone": "1"}, record=one)
        for one in (row, gone)
    ]

    states = [delivery.state for delivery in cdc_deliver(events, to=page["welcome"])]

    assert states == ["succeeded", "skipped"]
    account, _, changed = capsys.readouterr().out.strip().partition(": changed ")
    assert account == "Acme in Graz"
    assert {*changed.split(", ")} == {"LastModifiedDate", "Phone"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="roles are PostgreSQL's")
def test_the_role_can_write_the_tables_and_nothing_else():
    [rights] = blocks(PAGE, "sql")
    rights = rights.replace("DATABASE shop", f"DATABASE {connection.settings_dict['NAME']}")
    columns = columns_of(Account).against(["Name"])
    names = ("salesforce_id", "is_deleted", "version", "raw", "name")
    rows = [(account_id(n), False, timezone.now(), {}, f"Acme {n}") for n in range(ROWS)]
    assert ROWS >= row_page.MANY, "so that the rows are copied into a temporary table"
    with connection.cursor() as cursor:
        cursor.execute(rights)
        cursor.execute("SET ROLE cdc")
        try:
            written = upsert.write(columns, "default", names, rows, timezone.now())
            seen = Account.objects.count()
            with pytest.raises(Exception, match="permission denied"), transaction.atomic():
                cursor.execute("SELECT * FROM listeners_connection")
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP OWNED BY cdc")
            cursor.execute("DROP ROLE cdc")

    assert (written.applied, seen) == (ROWS, ROWS)
