"""The console exports the rows that the audit log's list shows."""

import csv
import io
import json

import pytest
from django.contrib.auth.models import Permission, User
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext

from audit.db.row_count import Total
from audit.jobs.tracked import TrackedJob
from audit.models import AuditLogEntry, OperatorAction, Work
from console.admin import keyset_list
from console.admin.audit_log import export as audit_log_export
from handlers.reporting.export import COLUMNS, Watched, begin
from tests.sample_data import ANN

LOG = "/admin/audit/auditlogentry/"


@pytest.fixture
def export(admin_client):
    def text(form="jsonl", client=admin_client, **parameters):
        response = client.get(f"{LOG}export/{form}/", parameters)
        assert response.status_code == 200
        assert response.streaming
        assert response["Content-Disposition"].endswith(f'.{form}"')
        return b"".join(response).decode()

    return text


def test_json_lines_have_the_columns_of_the_command(export, make_entry, make_delivery):
    entry = make_delivery(make_entry(changed_data={"Name": None, "A": [1]}), error="odd").entry
    row = json.loads(export())
    assert tuple(row) == COLUMNS
    assert row["id"] == entry.pk
    assert row["changed_data"] == {"Name": None, "A": [1]}
    assert row["deliveries"][0]["error"] == "odd"


def test_the_search_and_the_filters_of_the_list_hold(export, make_entry):
    make_entry()
    wanted = make_entry(entity_name="Contact", change_type="DELETE")
    make_entry(entity_name="Contact")
    found = [
        json.loads(line)["id"]
        for line in export(q="entity:Contact", change_type="DELETE").splitlines()
    ]
    assert found == [wanted.pk]


def test_csv_does_not_run_in_a_spreadsheet(export, make_entry):
    make_entry(change_origin="=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO(export("csv"))))
    assert rows[0]["change_origin"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("parameters", [{}, {"received_at_from_0": "2025-11-25"}])
def test_it_is_read_in_chunks_and_complete(export, make_entry, monkeypatch, parameters):
    monkeypatch.setattr(keyset_list, "FIRST_CHUNK", 2)
    monkeypatch.setattr(keyset_list, "CHUNK", 2)
    made = [make_entry().pk for _ in range(5)]
    with CaptureQueriesContext(connection) as queries:
        lines = export(**parameters).splitlines()
    assert [json.loads(line)["id"] for line in lines] == made[::-1]
    read = [q["sql"] for q in queries if "auditlogentry" in q["sql"] and "LIMIT 2" in q["sql"]]
    assert len(read) == 4


def test_what_is_sensitive_is_masked_for_who_may_not_see_it(export, client, make_entry, listener):
    listener.sensitive_fields = ["Phone"]
    listener.save()
    make_entry(changed_data={"Phone": "+49 30 7"})
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_auditlogentry"))
    client.force_login(user)
    assert "+49 30 7" not in export(client=client)
    assert "+49 30 7" in export()


def test_it_is_for_who_may_see_the_audit_log(client, make_entry):
    make_entry()
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert client.get(f"{LOG}export/csv/").status_code == 403


@pytest.mark.parametrize("path", ["export/xml/", "export/csv/?received_at_from_0=soon"])
def test_what_there_is_not_is_not_found(admin_client, path):
    assert admin_client.get(f"{LOG}{path}").status_code == 404


def test_an_export_is_logged_with_its_user_filter_and_rows(export, make_entry):
    for _ in range(3):
        make_entry(entity_name="Contact")
    make_entry()

    export("csv", q="entity:Contact")

    ended, begun = OperatorAction.objects.all()
    about = {"format": "csv", "filter": {"q": "entity:Contact"}, "sensitive": False}
    assert (begun.action, begun.who, begun.details) == ("export", "admin", about)
    assert (ended.action, ended.details) == ("export_ended", {"rows": 3, "ended": "Done"})
    row = Work.objects.get()
    assert (row.state, row.done, row.total, row.is_estimate) == ("done", 3, 3, False)
    assert begun.object_id == ended.object_id == str(row.pk)


def test_one_with_sensitive_values_says_so(export, make_entry, listener):
    listener.sensitive_fields = ["Phone"]
    listener.save()
    make_entry()

    export()

    [begun] = OperatorAction.objects.exclude(action="export_ended")
    assert (begun.action, begun.details["sensitive"]) == ("reveal", True)


@pytest.mark.django_db(transaction=True)  # the end of a response closes its connection
def test_one_that_its_reader_broke_off_says_so(admin_client, make_entry, monkeypatch):
    monkeypatch.setattr(keyset_list, "FIRST_CHUNK", 2)
    monkeypatch.setattr(keyset_list, "CHUNK", 2)
    monkeypatch.setattr(audit_log_export, "_PIECE", 1)
    for _ in range(6):
        make_entry()

    response = admin_client.get(f"{LOG}export/jsonl/")
    pieces = iter(response)
    next(pieces)
    next(pieces)
    assert Work.objects.get().state == "running"
    response.close()

    row = Work.objects.get()
    assert (row.state, row.done, row.total) == ("broken_off", 1, 6)
    assert OperatorAction.objects.first().details == {"rows": 1, "ended": "Interrupted"}


def test_one_that_fails_says_so_with_the_kind_of_its_error(db):
    def pieces():
        yield "{}"
        raise LookupError("the value 42 is secret")

    watched = Watched(pieces(), TrackedJob.begin(Work.Kind.EXPORT, ANN, {}, Total(None)))
    with pytest.raises(LookupError):
        list(watched)

    assert Work.objects.values_list("state", "error").get() == ("failed", "LookupError")
    assert OperatorAction.objects.get().details["ended"] == "Failed"


def test_one_that_the_action_log_does_not_take_does_not_begin(db, monkeypatch):
    def refuse(*args, **kwargs):
        raise DataError("no")

    monkeypatch.setattr("handlers.reporting.export.note", refuse)

    with pytest.raises(DataError):
        begin(ANN, "csv", {}, AuditLogEntry.objects.all(), reveals=False)

    assert not Work.objects.exists()
