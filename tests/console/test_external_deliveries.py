"""The pages of deliveries say where an external task was sent, and with which task id."""

from datetime import UTC, datetime

from handlers.models import Delivery, Destination, HandlerMapping
from handlers.reporting.wait_reason import waits_for
from tests.commands.running import record
from tests.sample_data import change, make_mapping


def shown(client, delivery):
    return client.get(f"/admin/handlers/delivery/{delivery.pk}/change/").content.decode()


def test_a_tracked_task_is_shown_with_its_queue_and_id(admin_client, listener):
    shop = Destination.objects.create(name="shop", broker="redis://127.0.0.1:1/0")
    make_mapping(listener, handler="", task="shop.sync", destination=shop, queue="crm")
    record(listener, change(), change("UPDATE"))
    first = Delivery.objects.earliest("pk")
    assert "external task, 0 attempts, queue crm on shop<" in shown(admin_client, first)

    until = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
    begun = {"attempts": 1, "claim_deadline": until, "destination": shop}
    other = Destination.objects.create(name="other", broker="redis://127.0.0.1:1/0")
    HandlerMapping.objects.update(destination=other)  # for the next attempt

    text = (
        f"external task, 1 attempt, queue crm on shop, task id delivery-{first.pk}-1, sent; its "
        "report is due by 2026-05-04 12:30:00 UTC<"
    )
    for state in ("queued", "running"):
        Delivery.objects.filter(pk=first.pk).update(state=state, **begun)
        assert text in shown(admin_client, first)
        entry = admin_client.get(f"/admin/audit/auditlogentry/{first.entry_id}/change/")
        assert text in entry.content.decode()

    Delivery.objects.filter(pk=first.pk).update(state="succeeded")
    shop.delete()
    assert "queue crm on a destination that was deleted, task id" in shown(admin_client, first)


def test_a_task_without_tracking_has_no_attempts(admin_client, listener):
    make_mapping(listener, handler="", task="shop.sync", track=False)
    record(listener, change())
    text = "external task, not tracked, queue celery<"
    assert text in shown(admin_client, Delivery.objects.get())


def test_the_next_change_waits_for_the_report_of_a_task(listener):
    for on in ("create", "update"):
        make_mapping(listener, on, handler="", task="shop.sync")
    record(listener, change(), change("UPDATE"))
    first, second = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=first.pk).update(state="queued", attempts=1)

    reason = waits_for(second).reason

    assert reason == (
        f"It waits for delivery {first.pk}, which was sent as a task, whose end its worker has not "
        "reported yet."
    )
