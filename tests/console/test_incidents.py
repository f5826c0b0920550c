"""Incidents can be read, filtered and closed in the console."""

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from audit.models import Incident, OperatorAction
from tests.console.conftest import NOW

pytestmark = pytest.mark.slow

INCIDENTS = "/admin/audit/incident/"


@pytest.fixture
def make_incident(listener):
    def make(**fields) -> Incident:
        fields = {"kind": "gap", "summary": "Gap events: <b>Account</b>", **fields}
        return Incident.objects.create(listener=listener, opened_at=NOW, last_seen_at=NOW, **fields)

    return make


def act(client, action: str, *incidents: Incident, **more: str):
    chosen = [incident.pk for incident in incidents]
    asked = {"action": action, "_selected_action": chosen, "index": "0", **more}
    return client.post(INCIDENTS, asked, follow=True)


def close(client, *incidents: Incident, note: str = "read by hand"):
    return act(client, "close_incidents", *incidents, note=note)


def test_open_and_closed_ones_are_told_apart(listed, make_incident):
    closed = make_incident(closed_at=NOW)
    still_open = make_incident()
    assert listed(INCIDENTS) == [still_open, closed]
    assert listed(INCIDENTS, state="open") == [still_open]
    assert listed(INCIDENTS, state="closed") == [closed]


def test_an_incident_says_what_to_do(admin_client, make_incident):
    incident = make_incident(remedy="Read the records.")
    html = admin_client.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    assert "Read the records." in html
    assert "Gap events: &lt;b&gt;Account&lt;/b&gt;" in html
    assert "Close this incident" in html


def test_open_incidents_are_counted_in_the_side_bar(admin_client, make_incident):
    assert "sidebar-badge" not in admin_client.get("/admin/").content.decode()
    make_incident(summary="one")
    page = admin_client.get("/admin/")
    items = [item for group in page.context["sidebar_navigation"] for item in group["items"]]
    assert {item["title"]: item["badge"] for item in items if item.get("badge")} == {
        "Incidents": "1"
    }


def test_the_chosen_incidents_are_closed(admin_client, make_incident):
    one, another = make_incident(), make_incident(key="Contact")
    left = make_incident(key="Lead")
    response = close(admin_client, one, another)
    assert "Closed 2 incidents." in response.content.decode()
    assert list(Incident.objects.filter(closed_at=None)) == [left]
    assert OperatorAction.objects.filter(action="close").count() == 2


def test_a_note_is_asked_for_before_several_are_closed(admin_client, make_incident):
    incident = make_incident()
    html = act(admin_client, "close_incidents", incident).content.decode()
    assert 'name="note"' in html
    assert f'name="_selected_action" value="{incident.pk}"' in html
    incident.refresh_from_db()
    assert incident.is_open


def test_the_user_and_the_reason_of_a_closing_are_kept_and_shown(admin_client, make_incident):
    incident = make_incident()
    close(admin_client, incident, note="Compared <by hand>.")
    incident.refresh_from_db()
    assert (incident.closed_by, incident.note) == ("admin", "Compared <by hand>.")
    html = admin_client.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    assert "Compared &lt;by hand&gt;." in html
    assert 'name="note"' not in html


def test_what_was_closed_by_evidence_says_so(admin_client, make_incident):
    incident = make_incident()
    Incident.objects.settle(NOW, note="Receiving again.")
    html = admin_client.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    assert "automatically" in html
    assert "Receiving again." in html


def test_one_that_is_acknowledged_stays_open_and_says_by_whom(admin_client, make_incident):
    incident = make_incident(action="It is being read.")
    html = admin_client.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    assert "It is being read." in html
    assert ">Acknowledge<" in html
    response = act(admin_client, "acknowledge_incidents", incident)
    assert "Acknowledged 1 incident." in response.content.decode()
    incident.refresh_from_db()
    assert (incident.is_open, incident.acknowledged_by) == (True, "admin")
    html = admin_client.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    assert ">Acknowledge<" not in html


def test_one_that_was_closed_before_keeps_its_time(admin_client, make_incident):
    incident = make_incident(closed_at=NOW)
    assert "closed already" in close(admin_client, incident).content.decode()
    incident.refresh_from_db()
    assert incident.closed_at == NOW < timezone.now()


def test_only_who_may_change_incidents_closes_them(client, make_incident, django_user_model):
    incident = make_incident()
    reader = django_user_model.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_incident"))
    client.force_login(reader)
    page = client.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    assert "Close this incident" not in page
    assert close(client, incident).status_code == 403
    assert act(client, "acknowledge_incidents", incident).status_code == 403
    incident.refresh_from_db()
    assert incident.is_open
    assert incident.acknowledged_at is None


@pytest.mark.parametrize(
    ("kind", "key", "page"),
    [
        ("dead_letters", "my.handler", "/admin/handlers/delivery/?state=dead&handler=my.handler"),
        ("undecodable", "", "/admin/audit/quarantined/?state=unread&listener__id__exact="),
        ("outage", "", "/admin/listeners/listener/"),
    ],
)
def test_an_incident_leads_to_where_something_is_to_be_done(
    admin_client, make_incident, kind, key, page
):
    incident = make_incident(kind=kind, key=key)
    response = admin_client.get(f"{INCIDENTS}{incident.pk}/change/")
    [found] = [href for _, href in response.context["see_also"] if href.startswith(page)]
    assert admin_client.get(found).status_code == 200
    assert response.content.decode().count("submit-row { display: none; }") == 1


def test_a_page_is_come_back_to(admin_client, make_incident):
    incident = make_incident()
    page = f"{INCIDENTS}{incident.pk}/change/"
    for action in ("acknowledge_incidents", "close_incidents"):
        response = act(admin_client, action, incident, from_page="1", note="a\0b")
        assert response.redirect_chain == [(page, 302)]
    incident.refresh_from_db()
    assert incident.note == "ab"
