"""`redeliver_cdc_events` reports which deliveries it sends, their number, and why others are not
sent."""

import getpass

import pytest
from django.core.management import CommandError

from handlers.models import Delivery, HandlerMapping, Redelivery
from tests.commands.running import record, run
from tests.sample_data import change, make_mapping

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture
def dead(listener):
    """Three dead deliveries of two entities, and one that succeeded."""
    make_mapping(listener, handler="tests.fail")
    for number in range(3):
        record(listener, change(records=[f"001{number}"], entity="AC"[number % 2] + "ccount"))
    Delivery.objects.update(state="dead")
    record(listener, change(records=["0019"], entity="Account"))
    Delivery.objects.exclude(state="dead").update(state="succeeded")
    return listener


def states() -> list[str]:
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_the_filter_picks_and_the_counts_are_printed(dead):
    done = run("redeliver_cdc_events", "--entity", "Account", "--state", "failed", "--reason", "ok")

    assert states() == ["queued", "dead", "queued", "succeeded"]
    assert done.lines == [
        "sent again: 2",
        "  tests.fail, dead: 2",
        "sent for the first time: 0",
        "already queued or running: 0",
        "cannot be redelivered: 0",
    ]
    redelivery = Redelivery.objects.get()
    assert redelivery.requested_by == f"command: {getpass.getuser()}"
    assert redelivery.reason == "ok"
    assert redelivery.criteria == {"entity": "Account", "state": "failed"}
    assert redelivery.count == 2


def test_a_dry_run_says_the_same_and_sends_nothing(dead):
    dry = run("redeliver_cdc_events", "--all", "--dry-run")

    assert states() == ["dead", "dead", "dead", "succeeded"]
    assert not Redelivery.objects.exists()
    sent = run("redeliver_cdc_events", "--all").lines
    none = "None of them was overtaken by later changes of its record."
    assert [*sent, none, "dry run: nothing was sent"] == (dry.lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "at least one filter, or --all"),
        (("--all", "--entity", "Account"), "at least one filter, or --all"),
        (("--listener", "none"), "There is no listener 'none'"),
        (("--state", "dead", "--new-handlers"), "leave the state out"),
    ],
)
def test_bad_usage_sends_nothing(dead, arguments, words):
    with pytest.raises(CommandError, match=words) as refused:
        run("redeliver_cdc_events", *arguments)

    assert refused.value.returncode == 2
    assert "queued" not in states()


def test_what_cannot_be_sent_is_named_and_ends_with_1(dead):
    HandlerMapping.objects.all().delete()

    with pytest.raises(CommandError, match="3 cannot be redelivered") as refused:
        run("redeliver_cdc_events", "--state", "dead")

    assert refused.value.returncode == 1


def test_a_mapping_that_came_later_gets_everything_when_asked_to(dead):
    make_mapping(dead, handler="tests.remember")

    done = run("redeliver_cdc_events", "--handler", "tests.remember", "--new-handlers")

    assert "sent for the first time: 4" in done.lines
    assert Delivery.objects.filter(handler="tests.remember", state="queued").count() == 4
