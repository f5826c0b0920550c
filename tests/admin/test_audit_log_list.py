"""The audit log's list: what a row says, and that it costs the same however many there are."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import admin_window
from tests.sample_data import make_listener

LOG = "/admin/audit/auditlogentry/"
DELIVERIES = "/admin/handlers/delivery/"


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


def test_the_audit_log_is_not_counted(admin_client, make_entry):
    make_entry()
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(LOG)
    assert not [q["sql"] for q in queries if "COUNT(" in q["sql"] and "auditlogentry" in q["sql"]]


def test_deliveries_are_never_counted_whole(admin_client, make_delivery):
    make_delivery()
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(DELIVERIES)
    counts = [q["sql"] for q in queries if "COUNT(" in q["sql"] and "delivery" in q["sql"]]
    assert counts
    assert all(f"LIMIT {admin_window.COUNTED + 1}" in sql for sql in counts)


def test_a_long_list_says_that_there_is_more(admin_client, make_delivery, monkeypatch):
    for _ in range(4):
        make_delivery()
    assert "4 in all" in admin_client.get(DELIVERIES).content.decode()
    monkeypatch.setattr(admin_window, "COUNTED", 3)
    assert "more than 3" in admin_client.get(DELIVERIES).content.decode()


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
