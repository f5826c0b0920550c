"""Rows are locked in one order, and a deadlock with other writers alarms no operator."""

import pytest
from django.db import DEFAULT_DB_ALIAS, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from mirror.apply import problem, row_page, upsert
from mirror.apply.guard import read_time
from mirror.models import Mirror
from mirror.schema.columns import columns_of
from tests.mirror.apply.changing import START, a_mirror, apply, event
from tests.mirror.crm.models import Account

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

#: Languages sort the first one before the other.
IDS = ("001000000000001aAA", "001000000000001BAA")


def test_rows_are_sorted_by_bytes_as_python_sorts(listener):
    a_mirror(listener)
    Account.all_objects.bulk_create(Account(pk=key) for key in IDS)
    order = row_page.by_bytes(DEFAULT_DB_ALIAS, "pk")
    assert list(Account.all_objects.order_by(order).values_list("pk", flat=True)) == sorted(IDS)


def test_all_statements_lock_rows_by_bytes(listener):
    a_mirror(listener)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        apply(listener, event("CREATE", 0, IDS[:1]), event("CREATE", 1, IDS[1:]))
        rows = [(f"001{number:012d}AAA", True) for number in range(row_page.MANY)]
        upsert.write_absent(
            columns_of(Account), DEFAULT_DB_ALIAS, [key for key, _ in rows], read_time(START)
        )
    collation = "C" if connection.vendor == "postgresql" else "BINARY"
    statements = [query["sql"] for query in queries if "crm_account" in query["sql"]]
    [locked] = [sql for sql in statements if sql.startswith("SELECT") and "ORDER BY" in sql]
    assert f'COLLATE "{collation}"' in locked
    if connection.vendor == "postgresql":
        [inserted] = [sql for sql in statements if "FROM mirror_page" in sql]
        assert 'ORDER BY "salesforce_id" COLLATE "C"' in inserted


@pytest.mark.parametrize("reason", ["deadlock detected", "database is locked"])
def test_an_error_that_the_next_try_mends_is_no_problem(listener, reason):
    problem.note_writing(a_mirror(listener), OperationalError(reason))
    assert Mirror.objects.get().problem == ""
