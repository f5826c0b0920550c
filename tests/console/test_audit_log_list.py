"""The audit log's list shows each entry's main values, with a fixed number of queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import OperatorAction
from console.admin import read_only
from tests.sample_data import make_listener

pytestmark = pytest.mark.slow

LOG = "/admin/audit/auditlogentry/"
DELIVERIES = "/admin/handlers/delivery/"
ACTIONS = "/admin/audit/operatoraction/"


def queries_of(admin_client, path: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert admin_client.get(path).status_code == 200
    return len(queries)


@pytest.mark.parametrize("path", [LOG, DELIVERIES])
def test_more_rows_need_no_more_queries(admin_client, make_entry, make_delivery, path):
    make_delivery()
    admin_client.get(path)  # what is cached by the first request of a process
    before = queries_of(admin_client, path)
    for number in range(5):
        entry = make_entry(listener=make_listener(name=f"other{number}"))
        make_delivery(entry)
        make_delivery(entry, state="dead")
    assert queries_of(admin_client, path) == before


@pytest.mark.parametrize(("path", "table"), [(LOG, "auditlogentry"), (DELIVERIES, "delivery")])
def test_what_grows_without_end_is_not_counted(admin_client, make_delivery, path, table):
    make_delivery()
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(path)
    assert not [q["sql"] for q in queries if "COUNT(" in q["sql"] and table in q["sql"]]


def test_a_long_list_says_that_there_is_more(admin_client, monkeypatch):
    for number in range(4):
        OperatorAction.objects.create(
            at=timezone.now(), who="ann", action="start", object_type="listener", object_id=number
        )
    with CaptureQueriesContext(connection) as queries:
        assert "4 in total" in admin_client.get(ACTIONS).content.decode()
    counts = [q["sql"] for q in queries if "COUNT(" in q["sql"] and "operatoraction" in q["sql"]]
    assert counts
    assert all(f"LIMIT {read_only.COUNTED + 1}" in sql for sql in counts)
    monkeypatch.setattr(read_only, "COUNTED", 3)
    assert "more than 3" in admin_client.get(ACTIONS).content.decode()


def test_a_row_says_what_changed_and_what_became_of_it(admin_client, make_entry, make_delivery):
    entry = make_entry(
        changed_fields=["LastModifiedDate", "Name.FirstName", "Name.LastName", "A", "B", "C"]
    )
    make_delivery(entry, state="dead")
    make_delivery(entry, state="succeeded")
    html = admin_client.get(LOG).content.decode()
    assert "Name, A, B and 1 more" in html
    assert "Dead" in html
    assert "Succeeded" in html


def test_an_entry_that_went_to_no_handler_says_so(admin_client, make_entry):
    make_entry()
    assert "recorded only" in admin_client.get(LOG).content.decode()


def test_names_from_outside_are_escaped(admin_client, make_entry):
    make_entry(
        entity_name="<script>1</script>",
        change_type="<script>2</script>",
        changed_data={"<script>3</script>": 1},
    )
    assert "<script>1" not in (html := admin_client.get(LOG).content.decode())
    assert "<script>2" not in html
    assert "<script>3" not in html
