"""Home shows the health summary, with links to the problems."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.action_log import Actor
from audit.models import Incident, Throughput, Work
from console.home import page, tables
from handlers.mappings.pause import pause
from handlers.models import Worker
from listeners.models import Position
from tests.sample_data import long_lease_of, make_listener, make_mapping

pytestmark = pytest.mark.slow

HOME = "/admin/"
FRAGMENT = "/admin/home/"
#: The header of a request that reloads the page.
RELOAD = {"Cache-Control": "no-cache"}


@pytest.fixture
def home(admin_client):
    def text() -> str:
        return admin_client.get(FRAGMENT, headers=RELOAD).content.decode()

    return text


@pytest.fixture
def receiving(listener):
    return receive(listener)


def receive(listener):
    long_lease_of(listener, "host-1:4711")
    now = timezone.now()
    Position.objects.filter(listener=listener).update(
        state="receiving", state_since=now, last_received_at=now
    )
    return listener


def make_worker(*queues: str, pid=1, ago=0):
    now = timezone.now()
    return Worker.objects.create(
        name="celery@host",
        pid=pid,
        queues=list(queues),
        concurrency=2,
        started_at=now,
        seen_at=now - timedelta(seconds=ago),
    )


def make_incident(listener, **fields):
    now = timezone.now()
    return Incident.objects.create(
        **{
            "listener": listener,
            "kind": "gap",
            "summary": "Gap events: Account",
            "opened_at": now,
            "last_seen_at": now,
            **fields,
        }
    )


def sentence(html: str) -> str:
    found = re.search(r'<p id="home-verdict".*?</p>', html, re.DOTALL)
    assert found, html
    return " ".join(re.sub(r"<[^>]+>", "", found[0]).split())


def links(html: str) -> set[str]:
    return {link.replace("&amp;", "&") for link in re.findall(r'href="([^"]+)"', html)}


def test_one_sentence_says_that_everything_is_all_right(home, receiving):
    make_mapping(receiving)
    make_worker("cdc")
    assert sentence(home()) == (
        "All systems normal: 1 listener receiving, 1 worker online, "
        "no dead letters, no open incidents."
    )


def test_what_is_not_all_right_is_named_and_linked(home, listener, make_delivery):
    long_lease_of(listener)
    Position.objects.update(state="failed", reason="invalid_client: <b>no such app</b>")
    make_delivery(state="dead")
    make_incident(listener)
    make_incident(listener, kind="overflow", acknowledged_at=timezone.now())
    html = home()
    assert sentence(html) == (
        f"Needs attention: listener {listener.name} has failed; 1 dead letter; "
        "2 open incidents (1 acknowledged)."
    )
    assert "invalid_client: &lt;b&gt;no such app" in html
    assert {
        f"/admin/listeners/listener/{listener.pk}/change/",
        "/admin/handlers/delivery/?state=dead",
        f"/admin/handlers/delivery/?state=dead&listener={listener.name}",
        "/admin/audit/incident/?state=open",
        f"/admin/audit/incident/?state=open&listener__id__exact={listener.pk}",
    } <= links(html)


def test_a_listener_that_no_process_runs_is_trouble_and_a_disabled_one_is_not(home, listener):
    assert sentence(home()) == f"Needs attention: listener {listener.name} is not running."
    listener.enabled = False
    listener.save()
    assert sentence(home()).startswith("All systems normal")


def test_a_queue_that_no_living_worker_hears_is_said(home, receiving):
    make_mapping(receiving, queue="crm")
    make_mapping(
        receiving, on="update", handler="", task="elsewhere.sync", track=False, queue="theirs"
    )
    make_worker("crm", ago=120)
    assert sentence(home()) == "Needs attention: no Celery worker is online."
    make_worker("cdc", pid=2)
    assert sentence(home()) == "Needs attention: no worker consumes the queue crm."
    make_worker("crm", pid=3)
    assert sentence(home()).startswith("All systems normal")


def test_a_mapped_handler_that_is_not_registered_is_said(home, receiving):
    make_mapping(receiving, handler="gone.handler")
    make_worker("cdc")
    assert sentence(home()) == "Needs attention: 1 mapped handler not registered."


def test_charts_count_what_was_recorded(home, receiving):
    now = timezone.now()
    for minutes, entries in ((0, 7), (30, 40), (300, 500), (2000, 9000)):
        minute = (now - timedelta(minutes=minutes)).replace(second=0, microsecond=0)
        Throughput.objects.create(listener=receiving, minute=minute, events=1, entries=entries)
    html = home()
    assert "Last hour: 47 changes, at most 40 per minute, in steps of one minute." in html
    assert "Last day: 547 changes" in html


def test_every_link_of_the_page_opens(admin_client, home, receiving, make_delivery):
    make_delivery(state="dead")
    make_delivery(state="retrying", due_at=timezone.now())
    make_incident(receiving)
    make_worker("cdc")
    kinds = {re.sub(r"=[^&]*", "", link): link for link in links(home())}
    for link in kinds.values():
        # A filter that a list does not know would redirect.
        assert admin_client.get(link).status_code == 200, link


def test_many_of_everything_take_as_many_queries_as_one(admin_client, make_delivery, make_entry):
    def fill(count: int) -> None:
        for number in range(count):
            listener = receive(make_listener())
            make_mapping(listener, queue=f"queue{number}")
            make_incident(listener)
            make_delivery(make_entry(listener=listener), state="dead")
            make_worker(f"queue{number}", pid=Worker.objects.count() + 1)

    fill(1)
    admin_client.get(HOME)  # content types are cached
    with CaptureQueriesContext(connection) as one:
        assert admin_client.get(HOME).status_code == 200
    fill(6)
    with CaptureQueriesContext(connection) as seven:
        html = admin_client.get(HOME).content.decode()
    assert html.count("CometD") == 8  # and the one that the entries come with
    assert len(seven) == len(one) <= 28


def test_listeners_in_trouble_are_shown_among_many_with_a_link_to_the_rest(home, db):
    for _ in range(tables.SHOWN + 1):
        receive(make_listener())
    troubled = make_listener(name="zulu")
    html = home()
    assert html.count("CometD") == tables.SHOWN
    assert f'id="listener-{troubled.pk}"' in html
    assert f">All {tables.SHOWN + 2} listeners</a>" in html


def test_a_paused_handler_is_not_forgotten_and_no_alarm(home, receiving, make_delivery):
    mapping = make_mapping(receiving, handler="handlers.log_change")
    make_worker("cdc")
    make_delivery(mapping=mapping, state="ready")
    pause([mapping], Actor("ann", "api"), "their system is down", timezone.now())
    html = home()
    assert sentence(html).startswith(
        f"Needs attention: handlers.log_change of {receiving.name} has been paused since "
    )
    assert sentence(html).endswith(", 1 waiting.")
    assert "bg-orange-100" in html
    assert "bg-red-100" not in html


def test_work_under_way_is_shown_to_whom_may_see_it(client, django_user_model, home, receiving):
    Work.objects.create(
        kind="export", through="admin", started_at=timezone.now(), seen_at=timezone.now()
    )
    assert "Running jobs" in home()
    reader = django_user_model.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_listener"))
    client.force_login(reader)
    assert "Running jobs" not in client.get(FRAGMENT, headers=RELOAD).content.decode()


def test_readers_with_the_same_rights_share_what_was_read(
    admin_client, client, django_user_model, receiving, make_delivery, monkeypatch
):
    monkeypatch.setattr(page.PARTS, "_seconds", 600)
    admin_client.get(FRAGMENT)
    make_delivery(state="dead")
    other = django_user_model.objects.create_superuser("other")
    client.force_login(other)
    client.get("/admin/logout/")  # content types are cached
    client.force_login(other)
    with CaptureQueriesContext(connection) as queries:
        assert "1 dead letter" not in client.get(FRAGMENT).content.decode()
    assert len(queries) <= 3  # who is it?
    assert "1 dead letter" in client.get(FRAGMENT, headers=RELOAD).content.decode()
    assert "1 dead letter" in admin_client.get(FRAGMENT).content.decode()
    assert "1 dead letter" in admin_client.get(HOME).content.decode()


def test_a_reader_sees_neither_numbers_nor_links_of_what_is_not_theirs(
    client, django_user_model, listener, make_delivery
):
    make_delivery(state="dead")
    make_incident(listener)
    make_worker("cdc")
    reader = django_user_model.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_incident"))
    client.force_login(reader)
    html = client.get(FRAGMENT).content.decode()
    assert sentence(html) == "Needs attention: 1 open incident."
    incident = Incident.objects.get()
    assert links(html) == {
        "/admin/audit/incident/?state=open",
        f"/admin/audit/incident/{incident.pk}/change/",
    }
    reader.user_permissions.set([Permission.objects.get(codename="view_delivery")])
    html = client.get(FRAGMENT).content.decode()
    assert sentence(html) == "Needs attention: 1 dead letter."
    assert all(link.startswith("/admin/handlers/delivery/") for link in links(html))


def test_all_right_is_as_far_as_the_reader_may_see(client, django_user_model, listener):
    make_worker("cdc")
    reader = django_user_model.objects.create_user("reader", is_staff=True)
    client.force_login(reader)
    assert "Ask an administrator for a role" in client.get(HOME).content.decode()
    reader.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    html = client.get(FRAGMENT).content.decode()
    assert sentence(html) == ("All systems normal (limited to what you can view): no dead letters.")


def test_without_a_listener_it_leads_to_what_comes_first(admin_client, home, make_listener):
    assert "New connection" in home()
    assert "/admin/listeners/connection/add/" in links(home())
    make_listener().delete()
    assert "/admin/listeners/listener/add/" in links(home())


def test_the_fragment_is_for_who_is_logged_in(client, db):
    answer = client.get(FRAGMENT)
    assert answer.status_code == 302
    assert answer.url.startswith("/admin/login/")
