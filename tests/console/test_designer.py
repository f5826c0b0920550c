"""A listener's page draws the flow of its changes, with the problems at each stage."""

from datetime import timedelta
from html import escape

import pytest
from django.contrib.auth.models import Group, Permission
from django.utils import timezone

from audit.models import Incident, OperatorAction, Throughput
from console.admin.listeners.state_panel import NAMED
from handlers.models import HandlerMapping, Worker
from listeners.models import TokenState
from tests.console.conftest import NOW
from tests.sample_data import make_listener, make_mapping

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def drawn(admin_client, listener):
    """Returns the drawing's HTML with normalized white space."""

    def html(client=admin_client) -> str:
        response = client.get(f"/admin/listeners/listener/{listener.pk}/drawing/")
        assert response.status_code == 200
        return " ".join(response.content.decode().split())

    return html


@pytest.fixture
def viewer(client, django_user_model):
    user = django_user_model.objects.create_user("vera", is_staff=True)
    user.groups.add(Group.objects.get(name="CDC Viewer"))
    client.force_login(user)
    return client


def number(text: str, name: str) -> str:
    return f"<b>{text}</b> {name}</a>"


def test_every_event_handler_leads_to_its_page(drawn, listener):
    mapping = make_mapping(listener, "update", entity="Account", changed_fields=["Phone", "Name"])
    html = drawn()
    for name in ("onCreate", "onUpdate", "onDelete", "onRestore"):
        assert f">{name}</h4>" in html
    assert f'href="/admin/handlers/handlermapping/{mapping.pk}/change/"' in html
    assert "when Phone, Name changed" in html
    assert "tests.remember" in html
    assert f'add/?listener={listener.pk}&amp;on=delete"' in html


def test_numbers_are_by_mapping_and_lead_to_what_they_count(
    admin_client, drawn, listener, make_delivery
):
    mine, other = make_mapping(listener, "create"), make_mapping(listener, "update")
    for state in ("succeeded", "succeeded", "dead"):
        make_delivery(mapping=mine, state=state)
    for state in ("succeeded", "retrying"):
        make_delivery(mapping=other, state=state, due_at=NOW)
    make_delivery(mapping=make_mapping(make_listener()), state="dead")
    html = drawn()
    assert number("2", "succeeded") in html
    assert number("1", "dead") in html
    assert number("1", "retrying") in html
    for state, mapping, count in (
        ("succeeded", mine, 2),
        ("dead", mine, 1),
        ("retrying", other, 1),
    ):
        query = f"state={state}&listener={listener.name}&mapping={mapping.pk}"
        assert escape(f'href="/admin/handlers/delivery/?{query}"', quote=False) in html
        page = admin_client.get(f"/admin/handlers/delivery/?{query}")
        assert page.context["cl"].result_count == count


def test_what_was_received_is_counted_by_hour_and_day(drawn, listener):
    now = timezone.now()
    for minutes, entries in ((5, 7), (120, 30), (60 * 30, 1000)):
        minute = now - timedelta(minutes=minutes)
        Throughput.objects.create(listener=listener, minute=minute, entries=entries)
    html = drawn()
    assert number("7", "in the last hour") in html
    assert number("37", "in the last 24 h") in html


def test_the_last_error_of_each_handler_is_shown(drawn, listener, make_delivery):
    mapping = make_mapping(listener)
    at = {"mapping": mapping, "state": "dead"}
    make_delivery(**at, error="KeyError: old", started_at=NOW - timedelta(days=1))
    newest = make_delivery(**at, error="TimeoutError: <no answer>\nsecond", started_at=NOW)
    before = NOW - timedelta(hours=1)
    make_delivery(
        **{**at, "state": "retrying"}, error="KeyError: tried", due_at=NOW, started_at=before
    )
    html = drawn()
    assert "TimeoutError: &lt;no answer&gt;" in html
    assert "KeyError" not in html
    assert f"/admin/handlers/delivery/{newest.pk}/change/" in html


def test_a_refused_login_is_shown_at_the_channel(drawn, listener):
    TokenState.objects.create(
        connection=listener.connection, refusals=2, refused_at=NOW, refusal="invalid_client: no"
    )
    assert "invalid_client: no" in drawn()
    TokenState.objects.update(refusals=0)
    assert "Login refused" not in drawn()


def test_a_queue_says_how_many_workers_hear_it(drawn, listener, make_delivery):
    make_mapping(listener, queue="crm")
    make_delivery(mapping=make_mapping(listener, "update"), state="queued")
    Worker.objects.create(name="w", pid=1, queues=["cdc"], started_at=NOW, seen_at=timezone.now())
    html = drawn()
    assert "1 worker</a>" in html
    assert "No worker</a> consumes this queue." in html
    assert "celery -A cdcproject worker -Q crm" in html
    assert 'class="text-subtle">waiting' in html


def test_a_new_listener_says_what_to_do_next(drawn, listener):
    HandlerMapping.objects.create_defaults(listener)
    html = drawn()
    assert "Choose a handler for the changes" in html
    assert "manage.py run_cdc_listener" in html
    HandlerMapping.objects.filter(on="create").update(handler="tests.remember")
    assert "Choose a handler for the changes" not in drawn()


def test_the_page_has_the_drawing_and_refreshes_it(admin_client, listener):
    html = admin_client.get(f"/admin/listeners/listener/{listener.pk}/change/").content.decode()
    assert f'data-refresh="/admin/listeners/listener/{listener.pk}/drawing/"' in html
    assert "console/refresh.js" in html
    assert 'id="on-create"' in html


def test_more_rows_take_no_more_queries(
    drawn, listener, make_delivery, django_assert_max_num_queries
):
    def fill(count: int) -> None:
        for on in HandlerMapping.On:
            mapping = make_mapping(listener, on)
            for state in ("succeeded", "dead", "queued") * count:
                make_delivery(mapping=mapping, state=state, error="odd", started_at=NOW)
        make_delivery(state="dead")

    fill(1)
    with django_assert_max_num_queries(30) as few:
        drawn()
    fill(5)
    with django_assert_max_num_queries(len(few)):
        drawn()


def test_a_viewer_sees_it_without_what_changes_it(viewer, drawn, listener):
    mapping = make_mapping(listener, "update")
    html = drawn(viewer)
    assert "handlermapping/add/" not in html
    assert "tests.remember" in html
    page = f"/admin/handlers/handlermapping/{mapping.pk}/change/"
    shown = viewer.get(page).content.decode()
    assert 'name="_save"' not in shown
    assert 'name="handler"' not in shown
    assert viewer.post(page, {"entity": "Lead"}).status_code == 403
    assert viewer.post(page.replace("change", "delete")).status_code == 403
    assert viewer.get("/admin/handlers/handlermapping/add/").status_code == 403


def test_only_the_newest_open_incidents_are_named(drawn, listener):
    for number in range(NAMED + 2):
        Incident.objects.create(
            listener=listener, kind="gap", key=str(number), summary=f"gap {number}.",
            opened_at=NOW, last_seen_at=NOW,
        )  # fmt: skip
    html = drawn()
    assert f"gap {NAMED + 1}." in html
    assert "gap 1." not in html
    assert "All open incidents" in html


def test_an_address_that_names_no_row_is_not_found(admin_client):
    for page in ("drawing", "start", "stop", "forget-position"):
        assert admin_client.get(f"/admin/listeners/listener/no/{page}/").status_code == 404, page
    for page in ("pause", "resume"):
        url = f"/admin/handlers/handlermapping/no/{page}/"
        assert admin_client.get(url).status_code == 404, page


def test_a_user_who_may_not_view_listeners_gets_no_drawing(client, django_user_model, listener):
    client.force_login(django_user_model.objects.create_user("sam", is_staff=True))
    assert client.get(f"/admin/listeners/listener/{listener.pk}/drawing/").status_code == 403


def test_what_may_not_be_seen_is_neither_counted_nor_linked(
    client, django_user_model, drawn, listener, make_delivery
):
    user = django_user_model.objects.create_user("lena", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_listener"))
    client.force_login(user)
    make_delivery(mapping=make_mapping(listener), state="dead", error="KeyError: told")
    html = drawn(client)
    for kept in ("KeyError", "/admin/handlers/", "/admin/audit/", "/admin/listeners/connection"):
        assert kept not in html, kept
    assert "You do not have permission to view this" in html
    assert "recorded only" not in html
    shown = client.get("/admin/listeners/listener/").content.decode()
    assert listener.name in shown
    for column in ("column-chosen_handlers", "column-open_incidents"):
        assert column not in shown


def test_deleting_says_what_becomes_of_what_waits_and_is_noted(
    admin_client, listener, make_delivery
):
    mapping = make_mapping(listener, "update")
    make_delivery(mapping=mapping, state="queued")
    dead = make_delivery(mapping=mapping, state="dead")
    url = f"/admin/handlers/handlermapping/{mapping.pk}/delete/"
    html = admin_client.get(url).content.decode()
    assert "Waiting deliveries: 1." in html
    assert "Dead letters: 1." in html
    assert b"delete_selected" not in admin_client.get("/admin/handlers/handlermapping/").content

    response = admin_client.post(url, {"post": "yes"})

    assert response.url == f"/admin/listeners/listener/{listener.pk}/change/"
    dead.refresh_from_db()
    assert dead.active_mapping is None
    assert admin_client.get(url).status_code == 302  # as for any row that is not there
    action = OperatorAction.objects.get()
    assert (action.action, action.object_type) == ("delete", "handlermapping")
    assert action.object_name == "onUpdate *: tests.remember"


def test_a_change_is_noted_by_the_names_of_its_fields(admin_client, listener):
    mapping = make_mapping(listener, "update")
    values = {"on": "update", "entity": "Lead", "handler": "tests.remember"}
    values |= {"ordering": "per_record", "on_dead": "continue", "options": "{}"}
    values |= {"track": "on", "report_timeout": "3600", "on_unknown": "retry"}
    response = admin_client.post(f"/admin/handlers/handlermapping/{mapping.pk}/change/", values)
    assert response.url == f"/admin/listeners/listener/{listener.pk}/change/"
    action = OperatorAction.objects.get()
    assert action.action == "change"
    assert [name.lower() for name in action.details["fields"]] == ["entity"]
    assert "Lead" not in str(action.details)
