"""A redelivery's page shows its progress, its outcome and the possible actions."""

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from audit.models import OperatorAction
from handlers.models import Delivery, Redelivery
from handlers.redelivery.job import run
from handlers.redelivery.request import RedeliveryRequest
from handlers.redelivery.start import begin
from tests.commands.running import record
from tests.console.test_redelivery import DELIVERIES, REDELIVERIES, act, states, text_of
from tests.sample_data import ANN, change, make_mapping

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker"),
]


@pytest.fixture
def dead(listener):
    """A dead letter, the record's next delivery, and one of another record that succeeded."""
    make_mapping(listener, handler="tests.skip")
    record(listener, change(), change(), change(records=["001B"]))
    Delivery.objects.filter(entry__record_id="001B").update(state="succeeded")
    first = Delivery.objects.order_by("id").first()
    Delivery.objects.filter(pk=first.pk).update(state="dead")
    return Delivery.objects.get(pk=first.pk)


def test_more_than_was_confirmed_is_asked_for_again(admin_client, dead):
    page = admin_client.get(f"{DELIVERIES}redeliver-dead/")
    assert ("named", 1) in page.context["carried"]
    assert "Redeliver 1" in page.content.decode()
    Delivery.objects.filter(state="succeeded").update(state="dead")

    again = admin_client.post(f"{DELIVERIES}redeliver-dead/", {"confirm": "yes", "named": "1"})

    assert "More deliveries match now" in again.content.decode()
    assert ("named", 2) in again.context["carried"]
    assert states() == ["dead", "blocked", "dead"]
    assert not Redelivery.objects.exists()


def test_more_than_a_page_should_wait_for_is_left_to_a_worker(
    admin_client, dead, monkeypatch, broker
):
    monkeypatch.setattr("handlers.redelivery.start.AT_ONCE", 0)

    page = text_of(admin_client, act(admin_client, DELIVERIES, dead, confirm="yes"))

    assert "no worker consumes the queue cdc" in page
    assert states() == ["dead", "blocked", "succeeded"]
    redelivery = Redelivery.objects.get()
    run(redelivery.pk)
    assert states() == ["queued", "blocked", "succeeded"]
    parts = admin_client.get(f"{REDELIVERIES}{redelivery.pk}/parts/").content.decode()
    assert "1 of 1, 100 %" in parts
    assert f"{DELIVERIES}?redelivery={redelivery.pk}&amp;state=queued" in parts
    assert "data-refresh-done" not in parts
    Delivery.objects.update(state="succeeded")
    assert (
        "data-refresh-done"
        in admin_client.get(f"{REDELIVERIES}{redelivery.pk}/parts/").content.decode()
    )
    found = admin_client.get(f"{DELIVERIES}?redelivery={redelivery.pk}&state=succeeded")
    assert list(found.context["cl"].result_list) == [dead]


def test_one_that_waits_is_cancelled_with_a_reason(admin_client, dead, monkeypatch):
    monkeypatch.setattr("handlers.redelivery.start.AT_ONCE", 0)
    act(admin_client, DELIVERIES, dead, confirm="yes")
    redelivery = Redelivery.objects.get()
    cancel = f"{REDELIVERIES}{redelivery.pk}/cancel/"
    assert cancel in admin_client.get(f"{REDELIVERIES}{redelivery.pk}/change/").content.decode()

    assert 'name="reason"' in admin_client.get(cancel).content.decode()
    page = text_of(admin_client, admin_client.post(cancel, {"reason": "wrong ones"}))

    assert "Cancelled" in page
    assert "Not processed: 1" in page
    action = OperatorAction.objects.get(action="cancel")
    assert (action.who, action.reason, action.details) == ("admin", "wrong ones", {"not_sent": 1})
    run(redelivery.pk)
    assert states() == ["dead", "blocked", "succeeded"]


def test_a_viewer_sees_the_progress_and_cannot_cancel(client, dead, monkeypatch):
    monkeypatch.setattr("handlers.redelivery.start.AT_ONCE", 0)
    redelivery = begin(RedeliveryRequest(ANN, Delivery.objects.all()), timezone.now())
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.add(Group.objects.get(name="CDC Viewer"))
    client.force_login(viewer)

    page = client.get(f"{REDELIVERIES}{redelivery.pk}/change/").content.decode()

    assert "0 of 3" in page
    assert "/cancel/" not in page
    for verb in ("cancel", "take-up"):
        assert client.post(f"{REDELIVERIES}{redelivery.pk}/{verb}/").status_code == 403
    redelivery.refresh_from_db()
    assert redelivery.state == "waiting"
