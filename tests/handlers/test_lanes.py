"""When mappings change while deliveries wait, a record's order is kept."""

import pytest
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.models import Delivery, HandlerMapping
from handlers.redelivery.request import RedeliveryRequest
from listeners.models import Position
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "journal")]


def record(listener, *messages):
    ingest(listener, lease_of(listener), received(*messages))
    return list(Delivery.objects.order_by("id"))


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def chains():
    return list(Delivery.objects.order_by("id").values_list("chain", flat=True))


def run_all():
    """Run deliveries as workers would, the newest first, until none can begin."""
    while ready := Delivery.objects.filter(state__in=("ready", "queued", "retrying")).last():
        Delivery.objects.filter(pk=ready.pk).update(state="ready")
        run_delivery(ready.pk)


def handled():
    return [line["id"] for line in read_journal()]


@pytest.fixture
def two_lanes(listener):
    """Two handlers of the same change, each with a lane of its own."""
    return [
        make_mapping(listener, handler=handler, entity=entity)
        for handler, entity in (("tests.remember", "*"), ("tests.skip", "Account"))
    ]


def test_what_waits_moves_with_its_mapping_and_goes_first(listener, two_lanes):
    """The mapping gets the other one's handler, so that both share one lane."""
    one, two = two_lanes
    record(listener, change())
    HandlerMapping.objects.filter(pk=two.pk).update(handler="tests.remember", on="update")

    deliveries = record(listener, change("UPDATE"))

    assert set(chains()) == {f"{one.pk}:{deliveries[0].entry.record_id}"}
    assert states() == ["queued", "blocked", "blocked"]
    Delivery.objects.update(handler="tests.remember")
    run_all()
    assert handled() == [one.entry_id for one in deliveries]


def test_a_running_delivery_joins_its_new_chain_only_after_its_run(listener, two_lanes):
    one, two = two_lanes
    record(listener, change())
    Delivery.objects.update(state="running", attempts=1, claim_deadline=timezone.now())
    HandlerMapping.objects.filter(pk=two.pk).update(handler="tests.remember", on="update")

    record(listener, change("UPDATE"))

    assert states() == ["running", "running", "blocked"]
    assert [chain.partition(":")[0] for chain in chains()] == [
        str(one.pk),
        str(two.pk),
        str(one.pk),
    ]
    Delivery.objects.filter(mapping=two, state="running").update(
        state="retrying", claim_deadline=None, due_at=timezone.now()
    )
    record(listener, change("UPDATE"))
    assert states() == ["running", "blocked", "blocked", "blocked"]
    assert len(set(chains())) == 1


def test_what_moves_to_a_handler_that_has_had_later_changes_gets_their_values(listener):
    note = "tests.note_fields"
    one, two = (make_mapping(listener, "update", handler) for handler in (note, "tests.skip"))
    record(listener, *(change("UPDATE", data={"Phone": phone}) for phone in ("1", "2")))
    for pk in Delivery.objects.filter(mapping=one).order_by("id").values_list("pk", flat=True):
        run_delivery(pk)
    HandlerMapping.objects.filter(pk=two.pk).update(handler=note)
    record(listener, change("UPDATE", data={"Fax": "3"}))
    moved = Delivery.objects.filter(mapping=two)
    moved.update(handler=note)

    run_all()

    assert set(moved.values_list("state", flat=True)) == {"succeeded"}
    phones = [line["data"].get("Phone") for line in read_journal()]
    assert [phone for phone in phones if phone] == ["1", "2", "2", "2"]


def test_what_had_no_order_gets_one(listener):
    mapping = make_mapping(listener, ordering="unordered")
    record(listener, change(), change(), change(records=["001B"]))
    assert states() == ["queued"] * 3
    HandlerMapping.objects.update(ordering="per_record")

    deliveries = record(listener, change())

    assert states() == ["queued", "blocked", "queued", "blocked"]
    assert chains()[2] == f"{mapping.pk}:001B"
    run_all()
    first = [one.entry_id for one in deliveries if one.entry.record_id != "001B"]
    assert [pk for pk in handled() if pk in first] == first


def test_nothing_begins_in_the_lane_of_one_that_halts(listener, two_lanes):
    one, two = two_lanes
    record(listener, change())
    Delivery.objects.filter(mapping=one).update(state="dead", halts=True)
    HandlerMapping.objects.filter(pk=one.pk).update(on_dead="halt")
    HandlerMapping.objects.filter(pk=two.pk).update(handler="tests.remember", on="update")

    record(listener, change("UPDATE"))
    relay.promote_stranded()

    assert states() == ["dead", "blocked", "blocked"]


def test_a_mapping_that_loses_its_order_or_its_handler_leaves_what_waits_in_order(listener):
    make_mapping(listener)
    record(listener, change(), change())
    HandlerMapping.objects.update(handler="", task="elsewhere.run", track=False)

    record(listener, change())

    assert states() == ["queued", "blocked", "ready"]


def test_a_redelivery_follows_too(listener, two_lanes):
    _, two = two_lanes
    record(listener, change(), change())
    Delivery.objects.filter(mapping=two).update(state="dead")
    HandlerMapping.objects.filter(pk=two.pk).update(handler="tests.remember", on="update")

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(mapping=two)), timezone.now())

    assert len(set(chains())) == 1
    assert states() == ["queued", "blocked", "blocked", "blocked"]


def test_mappings_that_are_as_they_were_cost_one_query(listener, django_assert_num_queries):
    from handlers.ordering.rechain import follow

    mappings = [make_mapping(listener)]
    record(listener, change())

    with django_assert_num_queries(1):
        assert follow(listener.pk, mappings, []) == {mappings[0].pk: mappings[0].pk}
    assert Position.objects.get().lanes == {str(mappings[0].pk): mappings[0].pk}


def test_two_that_may_begin_take_each_others_places(listener):
    """One leaves the chain that the other enters."""
    first = make_mapping(listener, "update", handler="tests.remember", entity="*")
    second = make_mapping(listener, "update", handler="tests.skip", entity="Account")
    third = make_mapping(listener, "update", handler="tests.remember", entity="Account")
    done, entering, leaving = record(listener, change("UPDATE"))
    Delivery.objects.filter(pk=done.pk).update(state="succeeded")
    Delivery.objects.filter(pk=leaving.pk).update(state="ready")
    chain = leaving.chain
    assert entering.chain == chain.replace(str(first.pk), str(second.pk), 1)
    HandlerMapping.objects.filter(pk=first.pk).update(handler="tests.skip")

    record(listener, change("UPDATE"))

    assert chains()[1:3] == [chain, chain.replace(str(first.pk), str(third.pk), 1)]
    assert states()[1:3] == ["queued", "ready"]
