"""A mapping leaves out changes by their author or its condition, and skipped deliveries say why."""

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, AuditLogFilter
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.outbox import publish
from handlers.reporting.export import exported
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "com/salesforce/api/rest/67.0;client=my-app"
REASON = "written by client my-app, which this mapping leaves out"


@pytest.fixture
def recorded(listener):
    """Records messages for the listener's present mappings."""
    lease = lease_of(listener)

    def record(*messages):
        return ingest(listener, lease, received(*messages), list(listener.mappings.all()))

    return record


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_a_condition_that_is_not_met_makes_no_delivery(recorded, listener):
    make_mapping(listener, "update", condition={"field": "StageName", "changed_to": "Closed Won"})

    result = recorded(
        change("UPDATE", data={"StageName": "Closed Won"}),
        change("UPDATE", ["006B"], data={"StageName": "Open"}),
        change("UPDATE", ["006C"], data={"StageName": "Closed Won"}, changedFields=["Name"]),
    )

    assert (result.entries, len(result.to_publish.ids)) == (3, 1)
    assert states() == ["queued"]


def test_a_change_of_ones_own_is_recorded_with_a_skipped_delivery(recorded, listener):
    mapping = make_mapping(listener, "update", ignore_origins=["my-app"])

    result = recorded(change("UPDATE", changeOrigin=OWN), change("UPDATE"))

    skipped, other = Delivery.objects.order_by("id")
    entry = AuditLogEntry.objects.get(pk=skipped.entry_id)
    assert (skipped.state, skipped.error, skipped.attempts) == ("skipped", REASON, 0)
    assert (skipped.mapping, skipped.handler, skipped.chain) == (mapping, mapping.handler, "")
    assert skipped.finished_at == entry.received_at
    assert (skipped.queued_at, skipped.started_at, skipped.claim_deadline) == (None, None, None)
    assert not skipped.attempt_log.exists()
    assert result.to_publish.ids == [other.pk]


def test_a_users_changes_are_left_out(recorded, listener):
    make_mapping(listener, "update", ignore_users=["005000000000001"])

    recorded(change("UPDATE"), change("UPDATE", ["001B"], commitUser="005000000000002AAA"))

    assert states() == ["skipped", "queued"]
    assert Delivery.objects.first().error == ""
    assert Delivery.objects.last().error == (
        "written by user 005000000000001AAA, which this mapping leaves out"
    )


def test_a_skipped_delivery_blocks_nothing_and_waits_for_nothing(recorded, listener):
    make_mapping(listener, "update", ignore_origins=["my-app"])
    own = {"changeOrigin": OWN}

    recorded(change("UPDATE", **own), change("UPDATE"), change("UPDATE", **own), change("UPDATE"))
    recorded(change("UPDATE", **own), change("UPDATE"))

    assert states() == ["skipped", "queued", "skipped", "blocked", "skipped", "blocked"]


def test_one_mapping_leaves_out_what_another_gets(recorded, listener):
    make_mapping(listener, "update", ignore_origins=["my-app"])
    make_mapping(listener, "update", handler="tests.skip")

    result = recorded(change("UPDATE", changeOrigin=OWN))

    assert states() == ["skipped", "queued"]
    assert len(result.to_publish.ids) == 1


def test_what_the_mapping_would_not_have_got_is_not_skipped_but_nothing(recorded, listener):
    make_mapping(
        listener,
        "update",
        ignore_origins=["my-app"],
        condition={"field": "Phone", "exists": True},
    )

    recorded(change("UPDATE", changeOrigin=OWN, data={"Name": "x"}), change("CREATE"))

    assert states() == []
    assert AuditLogEntry.objects.count() == 2


def test_a_task_elsewhere_is_not_sent_what_is_left_out(recorded, listener, broker):
    make_mapping(
        listener,
        "update",
        handler="",
        task="elsewhere.run",
        track=False,
        ignore_origins=["*/rest/*"],
    )
    recorded(change("UPDATE", changeOrigin=OWN))
    delivery = Delivery.objects.get()

    published = publish.publish([delivery.pk], timezone.now())

    delivery.refresh_from_db()
    assert (published, delivery.state, delivery.is_external) == (0, "skipped", True)
    assert delivery.error == f"written by origin {OWN}, which this mapping leaves out"


def test_a_replayed_change_of_ones_own_is_skipped_once(recorded, listener):
    make_mapping(listener, "update", ignore_origins=["my-app"])
    message = change("UPDATE", changeOrigin=OWN)

    recorded(message)
    recorded(message)

    assert states() == ["skipped"]


def test_the_export_shows_why(recorded, listener):
    make_mapping(listener, "update", ignore_origins=["my-app"])
    recorded(change("UPDATE", changeOrigin=OWN))

    [entry] = exported(AuditLogFilter(state="skipped"))

    [delivery] = entry["deliveries"]
    assert (delivery["state"], delivery["error"], delivery["attempts"]) == ("skipped", REASON, 0)
    assert delivery["finished_at"] == entry["received_at"]


def test_two_equal_mappings_deliver_a_change_each_one_after_the_other(recorded, listener):
    twins = [make_mapping(listener, "update") for _ in range(2)]

    result = recorded(change("UPDATE"))

    first, second = Delivery.objects.order_by("id")
    assert [first.mapping, second.mapping] == twins
    assert [first.state, second.state] == ["queued", "blocked"]
    assert first.chain == second.chain
    assert result.to_publish.ids == [first.pk]


def test_two_equal_mappings_in_any_order_deliver_a_change_each_at_once(recorded, listener):
    for _ in range(2):
        make_mapping(listener, "update", ordering="unordered")

    assert len(recorded(change("UPDATE")).to_publish.ids) == 2


def test_the_console_shows_why(recorded, listener, admin_client):
    make_mapping(listener, "update", ignore_origins=["my-app"])
    recorded(change("UPDATE", changeOrigin=OWN))
    entry, delivery = AuditLogEntry.objects.get(), Delivery.objects.get()

    for page in (
        f"/admin/audit/auditlogentry/{entry.pk}/change/",
        f"/admin/handlers/delivery/{delivery.pk}/change/",
        "/admin/handlers/delivery/",
    ):
        html = admin_client.get(page).content.decode()
        assert "Skipped" in html
        assert REASON in html
