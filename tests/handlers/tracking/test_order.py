"""Per-record order with tasks of another project: a record's next change is sent after the report
of the one before."""

import pytest

from handlers.models import Delivery, HandlerMapping
from tests.sample_data import change

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]

A, B = "001000000000001AAA", "001000000000002AAA"


def update(record, **fields):
    return change("UPDATE", [record], data={"Phone": "1"}, changedFields=["Phone"], **fields)


def test_the_next_change_of_a_record_is_sent_after_the_report(scene, shop):
    scene.mapping("shop.fail_first", on="update")
    scene.mapping("shop.sync", on="create")

    scene.record(change(records=[A]), update(A), change(records=[B]), update(A))

    assert scene.states == ["queued", "blocked", "queued", "blocked"]
    shop.worker("-c", "4")
    scene.wait_for_states(*["succeeded"] * 4)
    of_a = [(task, attempt) for task, record, attempt in shop.runs if record == A]
    assert of_a == [("sync", 1), *[("fail_first", 1), ("fail_first", 2)] * 2]


def test_a_dead_letter_may_hold_back_the_next_changes_of_its_record(scene, shop):
    scene.mapping("shop.fail", on_dead=HandlerMapping.OnDead.HALT, max_attempts=1)
    scene.mapping("shop.sync", on="update")
    shop.worker()

    scene.record(change(records=[A]), update(A), change(records=[B]))

    scene.wait_for_states("dead", "blocked", "dead")
    halting = Delivery.objects.filter(halts=True)
    assert set(halting.values_list("entry__record_id", flat=True)) == {A, B}


def test_unordered_tasks_are_sent_at_once(scene):
    scene.mapping(on="update", ordering="unordered")

    scene.record(update(A), update(A))

    assert scene.states == ["queued", "queued"]
    assert set(Delivery.objects.values_list("chain", flat=True)) == {""}
