"""The console asks before it redelivers changes, shows the counts, and keeps the reason."""

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from handlers.models import Delivery, Redelivery
from tests.commands.running import record
from tests.running import run_delivery
from tests.sample_data import change, make_mapping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]

ENTRIES = "/admin/audit/auditlogentry/"
DELIVERIES = "/admin/handlers/delivery/"
REDELIVERIES = "/admin/handlers/redelivery/"


@pytest.fixture
def dead(listener):
    """A dead delivery that halts its chain, the record's next one, and one of another record."""
    make_mapping(listener, handler="tests.one_try", on_dead="halt")
    record(listener, change(), change(), change(records=["001B"]))
    first = Delivery.objects.order_by("id").first()
    run_delivery(first.pk)
    Delivery.objects.filter(entry__record_id="001B").update(state="succeeded")
    return Delivery.objects.get(pk=first.pk)


@pytest.fixture
def reader(client, django_user_model):
    user = django_user_model.objects.create_user("reader", is_staff=True)
    names = ("view_delivery", "view_auditlogentry")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def act(client, path, *rows, action="redeliver", **more):
    chosen = {"action": action, "_selected_action": [row.pk for row in rows], "index": "0"}
    return client.post(path, {**chosen, **more})


def text_of(client, response) -> str:
    """Return the text of the page to which the answer redirects."""
    return client.get(response.headers["Location"]).content.decode()


def test_it_asks_first_with_counts_by_handler_and_state(admin_client, dead):
    page = act(admin_client, DELIVERIES, dead, Delivery.objects.get(state="blocked"))

    assert page.status_code == 200
    rows = [(row["handler"], row["verdict"], row["count"]) for row in page.context["rows"]]
    assert rows == [
        ("tests.one_try", "already queued or running, unchanged", 1),
        ("tests.one_try", "redelivered", 1),
    ]
    assert states() == ["dead", "blocked", "succeeded"]
    assert not Redelivery.objects.exists()


def test_confirmed_it_is_done_and_the_reason_is_kept(admin_client, dead):
    done = act(admin_client, DELIVERIES, dead, confirm="yes", reason="<b>mended</b>")

    assert states() == ["queued", "blocked", "succeeded"]
    redelivery = Redelivery.objects.get()
    assert done.headers["Location"] == f"{REDELIVERIES}{redelivery.pk}/change/"
    assert (redelivery.requested_by, redelivery.reason) == ("admin", "<b>mended</b>")
    assert redelivery.criteria == {"list": "deliveries", "selected": [str(dead.pk)]}
    run_delivery(dead.pk)
    page = admin_client.get(f"{DELIVERIES}{dead.pk}/change/").content.decode()
    assert "requested by admin: &lt;b&gt;mended&lt;/b&gt;" in page


def test_all_of_a_filter_is_more_than_what_was_selected(admin_client, dead):
    Delivery.objects.filter(state="blocked").update(state="succeeded")

    act(
        admin_client,
        f"{DELIVERIES}?state=succeeded",
        Delivery.objects.filter(state="succeeded").first(),
        select_across="1",
        confirm="yes",
    )

    assert states() == ["dead", "blocked", "queued"]
    assert Redelivery.objects.get().criteria == {"list": "deliveries", "state": "succeeded"}


def test_an_entry_is_sent_to_all_its_handlers_or_to_those_that_the_filter_is_about(
    admin_client, dead
):
    other = Delivery.objects.create(
        entry=dead.entry, handler="tests.skip", state="succeeded", created_at=timezone.now(),
        mapping=make_mapping(dead.entry.listener, handler="tests.skip"),
    )  # fmt: skip

    act(admin_client, f"{ENTRIES}?state=dead", dead.entry, confirm="yes")
    other.refresh_from_db()
    assert other.state == "succeeded"
    assert states()[0] == "queued"

    act(admin_client, ENTRIES, dead.entry, confirm="yes")
    other.refresh_from_db()
    assert other.state == "queued"


@pytest.mark.parametrize(
    ("path", "chosen"), [(ENTRIES, "entry"), (DELIVERIES, "delivery")], ids=["entries", "all"]
)
def test_what_its_mapping_left_out_is_not_sent_along(admin_client, dead, path, chosen):
    """One example is an echo of the product's own write. It is sent only if it is selected
    itself."""
    Delivery.objects.filter(pk=dead.pk).update(state="skipped", attempts=0, halts=False)
    row = dead.entry if chosen == "entry" else dead

    act(admin_client, path, row, confirm="yes", select_across="1")
    assert states() == ["skipped", "blocked", "queued"]

    act(admin_client, f"{path}?state=skipped", row, confirm="yes", select_across="1")
    assert states() == ["queued", "blocked", "queued"]


def test_all_dead_letters_are_sent_again_from_a_button_above_the_list(admin_client, dead):
    assert f"{DELIVERIES}redeliver-dead/" in admin_client.get(DELIVERIES).content.decode()
    page = admin_client.get(f"{DELIVERIES}redeliver-dead/")
    assert [row["count"] for row in page.context["rows"]] == [1]
    assert states() == ["dead", "blocked", "succeeded"]

    done = admin_client.post(f"{DELIVERIES}redeliver-dead/", {"confirm": "yes", "reason": "up"})

    assert "1 of 1, 100 %" in text_of(admin_client, done)
    assert states() == ["queued", "blocked", "succeeded"]


@pytest.mark.parametrize(("path", "field"), [(DELIVERIES, "pk"), (ENTRIES, "entry_id")])
def test_a_page_has_a_button_that_asks_and_leads_to_the_redelivery(admin_client, dead, path, field):
    pk = getattr(dead, field)
    page = f"{path}{pk}/change/"
    assert 'value="redeliver"' in admin_client.get(page).content.decode()
    asked = {"action": "redeliver", "_selected_action": pk, "from_page": "1", "index": "0"}

    question = admin_client.post(path, asked)
    assert 'name="from_page" value="1"' in question.content.decode()
    assert question.context["back"] == page
    done = admin_client.post(path, {**asked, "confirm": "yes"})

    assert done.headers["Location"].startswith(REDELIVERIES)
    assert states() == ["queued", "blocked", "succeeded"]


def test_a_blocked_one_says_what_it_waits_for(admin_client, dead):
    blocked = Delivery.objects.get(state="blocked")
    words = f"It waits for delivery {dead.pk}, which failed for good"

    for page in (f"{DELIVERIES}{blocked.pk}/change/", f"{ENTRIES}{blocked.entry_id}/change/"):
        html = admin_client.get(page).content.decode()
        assert words in html
        assert f'href="{DELIVERIES}{dead.pk}/change/"' in html
    assert (
        'value="redeliver"'
        not in admin_client.get(f"{DELIVERIES}{blocked.pk}/change/").content.decode()
    )


def test_an_operator_goes_on_without_a_halting_one(admin_client, dead):
    page = admin_client.get(f"{DELIVERIES}{dead.pk}/change/").content.decode()
    assert "holds back next changes" in page
    question = act(admin_client, DELIVERIES, dead, action="go_on_without")
    assert "1 dead letter will stay dead" in question.content.decode()
    assert states() == ["dead", "blocked", "succeeded"]

    act(admin_client, DELIVERIES, dead, action="go_on_without", confirm="yes", reason="it is gone")

    assert states() == ["dead", "queued", "succeeded"]
    dead.refresh_from_db()
    assert "Skipped by admin" in dead.error
    assert "it is gone" in dead.error
    again = act(admin_client, DELIVERIES, dead, action="go_on_without", confirm="yes")
    assert "None of these dead letters holds back next changes." in text_of(admin_client, again)


@pytest.mark.parametrize(
    ("path", "action"),
    [(DELIVERIES, "redeliver"), (DELIVERIES, "go_on_without"), (ENTRIES, "redeliver")],
)
def test_a_viewer_sees_no_button_and_gets_403(reader, dead, path, action):
    row = dead if path == DELIVERIES else dead.entry
    for page in (path, f"{path}{row.pk}/change/"):
        html = reader.get(page).content.decode()
        assert 'value="redeliver"' not in html
        assert "redeliver-dead" not in html

    assert act(reader, path, row, action=action, confirm="yes").status_code == 403
    for method in (reader.get, reader.post):
        assert method(f"{DELIVERIES}redeliver-dead/", {"confirm": "yes"}).status_code == 403
    assert states() == ["dead", "blocked", "succeeded"]


def test_it_is_not_done_without_the_token_of_its_form(django_user_model, dead):
    from django.test import Client

    admin = Client(enforce_csrf_checks=True)
    admin.force_login(django_user_model.objects.create_superuser("boss"))

    assert act(admin, DELIVERIES, dead, confirm="yes").status_code == 403
    assert states() == ["dead", "blocked", "succeeded"]
