"""A change that later ones have overtaken never takes a handler's data back in time."""

import pytest
from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers.models import Delivery, HandlerMapping
from handlers.outbox import publish
from handlers.redelivery.request import RedeliveryRequest
from handlers.worker.run import run_deliveries
from tests.handlers.test_dispatch import messages_in
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]

RECORD = "001000000000001AAA"
NOTE = "tests.note_fields"


@pytest.fixture
def copied(listener):
    """A listener that sends all kinds of changes to one handler, which can be made to fail for good
    at its first attempt."""
    for on in HandlerMapping.On:
        make_mapping(listener, on, NOTE, max_attempts=1)
    return listener


def record(listener, *messages):
    mappings = list(HandlerMapping.objects.filter(listener=listener))
    ingest(listener, lease_of(listener), received(*messages), mappings)


def run_all():
    """Run deliveries as one worker would, until none can begin."""
    while ready := Delivery.objects.filter(state__in=("ready", "queued")).order_by("id").first():
        run_delivery(ready.pk)


def recorded_and_run(listener, *messages):
    for message in messages:
        record(listener, message)
        run_all()
    return list(Delivery.objects.order_by("id"))


def again(*deliveries, as_recorded=False):
    """Redeliver and run, after the repair of the handler, and return its journal lines."""
    for mapping in HandlerMapping.objects.all():
        HandlerMapping.objects.filter(pk=mapping.pk).update(options={"fail": False})
    rows = Delivery.objects.filter(pk__in=[one.pk for one in deliveries])
    redeliver(RedeliveryRequest(ANN, rows, as_recorded=as_recorded), timezone.now())
    run_all()
    return read_journal()[-len(deliveries) :]


def state_of(delivery):
    delivery.refresh_from_db()
    return delivery.state, delivery.error


def update(**data):
    return change("UPDATE", data=data)


def test_a_field_that_a_later_change_has_overtaken_arrives_as_it_is_now(copied):
    dead, _ = recorded_and_run(
        copied, update(Phone="ext17", Name="Acme Ltd", Fail=1), update(Phone="42")
    )

    [line] = again(dead)

    assert line["data"] == {"Phone": "42", "Name": "Acme Ltd", "Fail": 1}
    assert line["superseded"] == ["Phone"]
    assert state_of(dead) == ("succeeded", "")
    dead.entry.refresh_from_db()
    assert dead.entry.changed_data["Phone"] == "ext17"


def test_what_nothing_has_overtaken_arrives_as_it_was_recorded(copied):
    [dead] = recorded_and_run(copied, update(Phone="ext17", Fail=1))

    [line] = again(dead)

    assert (line["data"], line["superseded"]) == ({"Phone": "ext17", "Fail": 1}, [])


def test_a_field_that_was_cleared_since_arrives_as_null(copied):
    message = change("UPDATE", data={"Phone": "1", "Fax": None, "Fail": 1}, nulledFields=["Fax"])
    dead, *_ = recorded_and_run(copied, message, update(Phone=None), update(Fax="2"))

    [line] = again(dead)

    assert line["data"] == {"Phone": None, "Fax": "2", "Fail": 1}
    assert line["superseded"] == ["Fax", "Phone"]
    assert line["nulled"] == ["Phone"]


def test_compound_fields_are_merged_by_their_parts(copied):
    address = {"Street": "Old Street", "City": "Ulm", "Country": "DE"}
    dead, *_ = recorded_and_run(
        copied,
        update(BillingAddress=address, Fail=1),
        update(BillingAddress={"City": "Bonn", "State": "NW"}),
        update(BillingAddress={"Country": None}),
    )

    [line] = again(dead)

    now = {"Street": "Old Street", "City": "Bonn", "Country": None}
    assert line["data"]["BillingAddress"] == now
    assert line["superseded"] == ["BillingAddress.City", "BillingAddress.Country"]


def test_a_compound_field_that_was_cleared_since_has_no_part_any_more(copied):
    dead, *_ = recorded_and_run(
        copied,
        update(BillingAddress={"Street": "S", "City": "Ulm"}, Fail=1),
        update(BillingAddress=None),
        update(BillingAddress={"City": "Bonn"}),
    )

    [line] = again(dead)

    assert line["data"]["BillingAddress"] == {"Street": None, "City": "Bonn"}


def test_a_dead_create_whose_record_was_deleted_is_skipped_with_the_reason(copied):
    dead, deletion = recorded_and_run(
        copied, change(data={"Name": "Acme", "Fail": 1}), change("DELETE")
    )
    before = len(read_journal())

    again(dead)

    reason = f"the record has since been deleted (entry {deletion.entry_id})"
    assert state_of(dead) == ("skipped", reason)
    assert len(read_journal()) == before
    assert dead.attempt_log.last().error == reason


def test_a_create_carries_what_later_changes_added(copied):
    """A handler may take a field that a create does not name for null."""
    dead, *_ = recorded_and_run(
        copied, change(data={"Name": "Acme", "Fail": 1}), update(Fax="5"), update(Phone=None)
    )

    [line] = again(dead)

    assert line["data"] == {"Name": "Acme", "Fail": 1, "Fax": "5"}
    assert line["superseded"] == ["Fax"]


def test_a_delete_whose_record_was_restored_is_skipped_with_the_reason(copied):
    [dead, restored] = recorded_and_run(
        copied, change("DELETE", data={"Fail": 1}), change("UNDELETE", data={"Name": "Acme"})
    )

    again(dead)

    reason = f"the record has since been restored (entry {restored.entry_id})"
    assert state_of(dead) == ("skipped", reason)


def test_a_delete_whose_record_was_restored_and_deleted_again_is_delivered(copied):
    dead, *_ = recorded_and_run(
        copied,
        change("DELETE", data={"Fail": 1}),
        change("UNDELETE", data={"Name": "Acme"}),
        change("DELETE"),
    )

    again(dead)

    assert state_of(dead) == ("succeeded", "")


def test_what_a_restored_record_does_not_carry_is_null_now(copied):
    dead, *_ = recorded_and_run(
        copied,
        update(Phone="1", Name="Acme", Fail=1),
        change("DELETE"),
        change("UNDELETE", data={"Name": "Globex"}),
    )

    [line] = again(dead)

    assert line["data"] == {"Phone": None, "Name": "Globex", "Fail": None}


def test_as_recorded_it_arrives_unchanged(copied):
    dead, *_ = recorded_and_run(copied, update(Phone="ext17", Fail=1), change("DELETE"))

    [line] = again(dead, as_recorded=True)

    assert (line["data"]["Phone"], line["superseded"]) == ("ext17", [])
    assert state_of(dead) == ("succeeded", "")


def test_what_waits_behind_it_is_not_seen_before_its_turn(copied):
    HandlerMapping.objects.update(on_dead="halt")
    first, *_ = recorded_and_run(copied, update(Phone="1", Fail=1), update(Phone="2"))
    assert read_journal()[-1]["data"]["Phone"] == "1"

    lines = again(first) and read_journal()[-2:]

    assert [line["data"]["Phone"] for line in lines] == ["1", "2"]
    assert [line["superseded"] for line in lines] == [[], []]


def test_changes_that_go_to_no_handler_count_too(copied):
    HandlerMapping.objects.filter(on="update").update(changed_fields=["Phone"])
    [dead] = recorded_and_run(copied, update(Phone="1", Name="Acme", Fail=1), update(Name="New"))

    [line] = again(dead)

    assert line["data"] == {"Phone": "1", "Name": "New", "Fail": 1}


def test_changes_of_other_records_and_listeners_do_not(copied, make_listener):
    other = make_listener()
    make_mapping(other, "update", NOTE)
    [dead] = recorded_and_run(copied, update(Phone="1", Fail=1))
    record(other, update(Phone="2"))
    record(copied, change("UPDATE", ["001000000000002AAA"], data={"Phone": "3"}))
    run_all()

    [line] = again(dead)

    assert (line["data"]["Phone"], line["superseded"]) == ("1", [])


def test_all_dead_letters_of_a_record_are_redelivered_at_once(copied):
    dead = recorded_and_run(
        copied,
        change(data={"Name": "A", "Phone": "1", "Fail": 1}),
        update(Name="B", Fail=1),
        update(Phone="2", Fail=1),
    )

    lines = again(*dead)

    assert lines[0]["data"] == {"Name": "B", "Phone": "2", "Fail": 1}
    assert [line["data"].get("Name") for line in lines] == ["B", "B", None]


@pytest.fixture
def unordered(listener):
    for on in HandlerMapping.On:
        make_mapping(listener, on, NOTE, ordering="unordered")
    return listener


def ids():
    return list(Delivery.objects.order_by("id").values_list("pk", flat=True))


def test_a_first_attempt_without_order_gets_what_a_later_one_brought(unordered):
    record(unordered, update(Phone="1", Name="Acme"), update(Phone="2"), update(Fax="3"))
    first, second, third = ids()

    for pk in (second, first, third):
        run_delivery(pk)

    lines = read_journal()
    assert [line["data"].get("Phone") for line in lines] == ["2", "2", None]
    assert [line["superseded"] for line in lines] == [[], ["Phone"], []]


def test_in_its_order_an_unordered_one_arrives_as_it_was_recorded(unordered):
    record(unordered, update(Phone="1"), update(Phone="2"), update(Phone="3"))

    run_deliveries(ids(), NOTE)

    assert [line["data"]["Phone"] for line in read_journal()] == ["1", "2", "3"]


def test_in_the_other_order_those_of_a_message_get_the_newest(unordered):
    record(unordered, update(Phone="1"), update(Phone="2"), update(Phone="3"))

    run_deliveries(ids()[::-1], NOTE)

    assert [line["data"]["Phone"] for line in read_journal()] == ["3", "3", "3"]


def test_a_batch_is_handled_in_its_order_too(unordered):
    HandlerMapping.objects.update(handler="tests.note_fields_of_all")
    record(unordered, update(Phone="1"), change("DELETE"), update(Phone="3"))
    first, second, _ = ids()
    run_delivery(second)

    run_deliveries([first], "tests.note_fields_of_all")

    assert state_of(Delivery.objects.get(pk=first))[0] == "skipped"


def test_a_retry_gets_the_values_handled_since(unordered, settings):
    settings.CDC_RETRY_CAP_SECONDS = 0.0
    record(unordered, update(Phone="1", Fail=1))
    run_all()
    record(unordered, update(Phone="2", Fail=None))
    run_all()

    run_delivery(ids()[0])

    line = read_journal()[-1]
    assert (line["attempt"], line["data"]) == (2, {"Phone": "2", "Fail": None})
    assert line["superseded"] == ["Fail", "Phone"]


def test_handlers_of_one_kind_each_share_a_view(listener):
    make_mapping(listener, "create", NOTE, ordering="unordered")
    make_mapping(listener, "delete", "tests.note_fields_too", ordering="unordered")
    record(listener, change(data={"Name": "Acme"}), change("DELETE"))
    first, second = ids()

    run_delivery(second)
    run_delivery(first)

    assert state_of(Delivery.objects.get(pk=first))[0] == "skipped"


def test_an_ordered_mapping_beside_an_unordered_one_is_protected_too(listener):
    make_mapping(listener, "create", NOTE)
    make_mapping(listener, "update", NOTE, ordering="unordered")
    record(listener, change(data={"Name": "Acme"}), update(Name="Globex"))
    first, second = ids()

    run_delivery(second)
    run_delivery(first)

    assert read_journal()[-1]["data"] == {"Name": "Globex"}


def test_a_mapping_that_has_got_an_order_since_is_protected(listener):
    make_mapping(listener, "update", NOTE, ordering="unordered")
    record(listener, update(Phone="1"), update(Phone="2"))
    first, second = ids()
    run_delivery(second)
    HandlerMapping.objects.update(ordering="per_record")
    record(listener, change("UPDATE", ["001000000000002AAA"], data={"Phone": "9"}))
    assert Delivery.objects.get(pk=first).chain

    run_delivery(first)

    assert read_journal()[-1]["data"] == {"Phone": "2"}


def test_a_mapping_that_has_lost_its_order_since_is_protected(listener):
    make_mapping(listener, "update", NOTE)
    record(listener, update(Phone="1"))
    HandlerMapping.objects.update(ordering="unordered")
    record(listener, update(Phone="2"))
    first, second = ids()
    run_delivery(second)

    run_delivery(first)

    assert read_journal()[-1]["data"] == {"Phone": "2"}


@pytest.mark.parametrize("ordering", HandlerMapping.Ordering.values)
def test_what_has_lost_its_handler_sees_what_a_new_mapping_brought(listener, ordering):
    make_mapping(listener, "update", NOTE, ordering=ordering)
    record(listener, update(Phone="1"))
    HandlerMapping.objects.update(handler="")
    make_mapping(listener, "update", NOTE, ordering="unordered")
    record(listener, update(Phone="2"))
    first, second = ids()
    run_delivery(second)

    run_delivery(first)

    assert [line["data"] for line in read_journal()] == [{"Phone": "2"}] * 2


def test_what_one_brought_that_has_lost_its_handler_is_seen_too(listener):
    kept, lost = (make_mapping(listener, "update", NOTE, ordering="unordered") for _ in range(2))
    record(listener, update(Phone="1"), update(Phone="2"))
    run_delivery(Delivery.objects.filter(mapping=lost).latest("id").pk)
    HandlerMapping.objects.filter(pk=lost.pk).update(handler="")

    run_delivery(Delivery.objects.filter(mapping=kept).earliest("id").pk)

    assert [line["data"] for line in read_journal()] == [{"Phone": "2"}] * 2


def test_ordered_first_attempts_cost_no_query(copied, django_assert_num_queries):
    record(copied, update(Phone="1"))
    from handlers.superseded.prepare import present_of
    from handlers.worker.claim import claim

    claims = claim(ids())

    with django_assert_num_queries(0):
        assert present_of([one.delivery for one in claims]) == {}


def test_a_task_elsewhere_gets_the_present_values(listener):
    make_mapping(listener, "update", handler="", task="shop.sync", track=False, queue="shop")
    record(listener, update(Phone="1", Name="Acme"))
    publish.publish(ids(), timezone.now())
    record(listener, update(Phone="2"))
    publish.publish(ids(), timezone.now())

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=ids()[0])), timezone.now())

    sent = [message["kwargs"]["event"] for message in messages_in("shop")]
    assert [event["changedData"].get("Phone") for event in sent] == ["1", "2", "2"]
    assert [event["supersededFields"] for event in sent] == [[], [], ["Phone"]]


def test_a_task_elsewhere_is_not_sent_what_was_deleted_since(listener):
    make_mapping(listener, "update", handler="", task="shop.sync", track=False, queue="shop")
    record(listener, update(Phone="1"), change("DELETE"))

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=ids()[0])), timezone.now())
    Delivery.objects.update(state="sent")
    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=ids()[0])), timezone.now())

    assert Delivery.objects.get().state == "skipped"
    assert messages_in("shop") == []


def event_of_a_save(sequence, **data):
    fields = {"transaction": "a-save", "sequence": sequence, "changedFields": list(data)}
    return change("UPDATE", [RECORD], data=data, **fields)


def test_an_event_that_is_delivered_late_for_its_save_does_not_undo_the_next(listener):
    """Its handler got both of the first events through its other mapping."""
    named_and_new = [{"field": "Name", "exists": True}, {"field": "Type", "equals": "New"}]
    condition = {"all": named_and_new}
    make_mapping(listener, "update", NOTE, condition=condition, changed_fields=["Name"])
    make_mapping(listener, "update", NOTE)
    record(listener, event_of_a_save(1, Name="A", Phone="1"), event_of_a_save(2, Phone="2"))
    run_all()

    record(listener, event_of_a_save(3, Type="New"))
    run_all()

    bodies = [line["data"] for line in read_journal()]
    assert bodies[2:] == [{"Name": "A", "Phone": "2"}, {"Type": "New"}]
