"""The export of what the audit log's list shows."""

import csv
import io
import json

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import admin_keyset
from handlers.exported import COLUMNS

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
    monkeypatch.setattr(admin_keyset, "CHUNK", 2)
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
