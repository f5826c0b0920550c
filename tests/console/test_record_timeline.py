"""A record's page shows its entries from all listeners, newest first, and their outcomes."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import DirtyRecord
from console.admin.audit_log import record
from tests.console.conftest import NOW
from tests.sample_data import make_listener

SHORT, LONG = "0015g00000EqG9G", "0015g00000EqG9GAAV"


@pytest.fixture
def timeline(admin_client):
    def page(record_id=LONG, **parameters):
        path = f"/admin/audit/auditlogentry/record/{record_id}/"
        response = admin_client.get(path, parameters)
        assert response.status_code == 200
        return response

    return page


def entries_of(response):
    return [one["entry"] for one in response.context["page"]["happenings"]]


@pytest.mark.parametrize("typed", [LONG, SHORT])
def test_it_has_what_every_listener_heard_the_newest_first(timeline, make_entry, typed):
    first = make_entry(record_id=LONG)
    make_entry()
    second = make_entry(record_id=LONG, listener=make_listener(name="another"))
    assert entries_of(timeline(typed)) == [second, first]


def test_it_says_what_changed_and_what_became_of_it(timeline, make_entry, make_delivery):
    data = {"Phone": "+49 30 7", "LastModifiedDate": "2026-11-25T12:00:00Z"}
    make_delivery(make_entry(record_id=LONG, changed_data=data), state="dead")
    html = timeline().content.decode()
    assert "+49 30 7" in html
    assert "Dead" in html
    assert "LastModifiedDate" not in html


def test_it_marks_what_is_missing_and_what_was_read(timeline, make_entry, listener):
    gap = make_entry(record_id=LONG, change_type="GAP_UPDATE", changed_data={})
    DirtyRecord.objects.create(entry=gap, listener=listener, entity_name="Account", due_at=NOW)
    make_entry(record_id=LONG, source="reconcile")
    html = timeline().content.decode()
    assert "waiting for REST read" in html
    assert "from reconcile" in html


def test_it_is_paged_without_a_hole(timeline, make_entry, monkeypatch):
    monkeypatch.setattr(record, "PAGE", 2)
    made = [make_entry(record_id=LONG) for _ in range(5)]
    seen, page = [], timeline()
    while True:
        seen += entries_of(page)
        older = page.context["page"]["older"]
        if older is None:
            break
        page = timeline(before=older)
    assert seen == made[::-1]


def test_more_entries_need_no_more_queries(timeline, make_entry, make_delivery, admin_client):
    def queries():
        with CaptureQueriesContext(connection) as found:
            timeline()
        return len(found)

    make_delivery(make_entry(record_id=LONG))
    timeline()
    before = queries()
    for number in range(5):
        heard = make_entry(record_id=LONG, listener=make_listener(name=f"other{number}"))
        make_delivery(heard)
        make_delivery(heard)
    assert queries() == before


def test_the_list_and_the_entry_lead_to_it(admin_client, make_entry):
    entry = make_entry(record_id=LONG)
    link = f"/admin/audit/auditlogentry/record/{LONG}/"
    for page in (f"?q={SHORT}", f"{entry.pk}/change/"):
        html = admin_client.get(f"/admin/audit/auditlogentry/{page}").content.decode()
        assert link in html


def test_it_is_for_who_may_see_the_audit_log(client, make_entry):
    make_entry(record_id=LONG)
    client.force_login(User.objects.create_user("guest", is_staff=True))
    assert client.get(f"/admin/audit/auditlogentry/record/{LONG}/").status_code == 403


def test_an_odd_id_is_escaped_and_leads_there(admin_client, make_entry):
    entry = make_entry(record_id='<script>"/?#\n')
    html = admin_client.get(f"/admin/audit/auditlogentry/{entry.pk}/change/").content.decode()
    link = html.split("/record/")[1].split('"')[0]
    page = admin_client.get(f"/admin/audit/auditlogentry/record/{link}")
    assert entries_of(page) == [entry]
    assert "<script>&quot;" not in page.content.decode()
    assert '<script>"' not in page.content.decode()


def test_a_position_that_is_none_is_not_found(admin_client):
    path = f"/admin/audit/auditlogentry/record/{LONG}/"
    for before in ("x", "-1", "9" * 30, "²"):
        assert admin_client.get(path, {"before": before}).status_code == 404
