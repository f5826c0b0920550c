"""The backlog is counted by listener and state, up to a limit."""

from handlers.models import Delivery
from handlers.reporting import backlog as counting
from handlers.reporting.backlog import backlog
from tests.commands.running import record
from tests.sample_data import change, make_listener, make_mapping


def fill(listener, *states: str) -> None:
    mapping = make_mapping(listener, ordering="unordered")
    record(listener, change(records=[f"001{number}" for number in range(len(states))]))
    ids = Delivery.objects.filter(mapping=mapping).values_list("pk", flat=True)
    for pk, state in zip(ids, states, strict=True):
        Delivery.objects.filter(pk=pk).update(state=state)


def test_it_is_of_each_listener_and_leaves_out_what_has_ended_well(db):
    one, other = make_listener(), make_listener()
    fill(one, "dead", "ready", "ready", "succeeded")
    fill(other, "dead")

    found = backlog()

    assert found.of(one.pk) == {"dead": 1, "ready": 2}
    assert found.of(other.pk) == {"dead": 1}
    assert found.totals == {"dead": 2, "ready": 2}


def test_what_a_deleted_mapping_left_is_its_listeners(listener):
    fill(listener, "dead", "dead")
    listener.mappings.all().delete()

    assert backlog().of(listener.pk) == {"dead": 2}


def test_more_than_are_counted_is_said(listener, monkeypatch):
    monkeypatch.setattr(counting, "COUNTED", 2)
    fill(listener, "dead", "dead", "dead", "ready")

    found = backlog()

    assert found.shown(found.of(listener.pk)["dead"], "dead") == "2+"
    assert found.shown(found.of(listener.pk)["ready"], "ready") == "1"
