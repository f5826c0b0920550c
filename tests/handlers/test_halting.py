"""With `on_dead: halt` no later change of a record begins after one that failed for good."""

import threading
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError
from django.utils import timezone

from audit.models import AuditLogEntry, AuditLogFilter
from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.dead_letters.halt import skip_halting
from handlers.models import Delivery, HandlerMapping
from handlers.redelivery.request import RedeliveryRequest, request_matching
from handlers.reporting.wait_reason import waits_for
from handlers.worker.claim import claim
from tests.at_once import in_threads
from tests.commands.running import CONNECTION, ConfigurationFile
from tests.redelivering import redeliver
from tests.running import run_delivery
from tests.sample_data import ANN, change, lease_of, make_mapping, received
from tests.sample_handlers import read_journal
from tests.servers import wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]


@pytest.fixture
def mapping(listener):
    return make_mapping(listener, handler="tests.one_try", on_dead="halt")


def deliver(mapping, *messages):
    listener = mapping.listener
    ingest(listener, lease_of(listener), received(*messages), [mapping])
    return list(Delivery.objects.order_by("id"))


def halted(mapping):
    """A dead delivery that halts its chain, and the one behind it."""
    first, second = deliver(mapping, change(), change())
    run_delivery(first.pk)
    first.refresh_from_db()
    return first, second


def states():
    return list(Delivery.objects.order_by("id").values_list("state", flat=True))


def test_the_next_of_the_record_waits_behind_a_dead_one(mapping):
    first, _ = halted(mapping)

    assert (first.state, first.halts) == ("dead", True)
    assert states() == ["dead", "blocked"]
    relay.sweep(timezone.now())
    assert states() == ["dead", "blocked"]


def test_what_arrives_later_waits_too(mapping):
    [first] = deliver(mapping, change())
    run_delivery(first.pk)

    deliver(mapping, change())

    assert states() == ["dead", "blocked"]


def test_another_record_goes_on(mapping):
    halted(mapping)

    deliver(mapping, change(records=["001B"]))

    assert states() == ["dead", "blocked", "queued"]


def test_with_continue_the_next_begins(listener):
    first, second = deliver(make_mapping(listener, handler="tests.one_try"), change(), change())

    run_delivery(first.pk)

    first.refresh_from_db()
    assert (first.state, first.halts) == ("dead", False)
    second.refresh_from_db()
    assert (second.state, second.attempts) == ("dead", 1)


def test_a_run_that_was_lost_with_its_worker_halts_too(mapping):
    first, _ = deliver(mapping, change(), change())
    [begun] = claim([first.pk])

    relay.reclaim(begun.delivery.claim_deadline + timedelta(seconds=1))

    assert states() == ["dead", "blocked"]
    assert Delivery.objects.get(pk=first.pk).halts


def test_redelivered_with_success_it_lets_the_next_begin(mapping):
    first, _ = halted(mapping)
    HandlerMapping.objects.update(handler="tests.remember")

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=first.pk)), timezone.now())
    assert states() == ["queued", "blocked"]
    run_delivery(first.pk)

    assert states() == ["succeeded", "queued"]


def test_redelivered_and_dead_again_it_halts_again(mapping):
    first, _ = halted(mapping)

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=first.pk)), timezone.now())
    run_delivery(first.pk)

    first.refresh_from_db()
    assert (first.state, first.halts, first.attempts) == ("dead", True, 2)
    assert states() == ["dead", "blocked"]


def test_an_operator_goes_on_without_it(mapping):
    first, _ = halted(mapping)

    assert skip_halting([first.pk], ANN, "the record is gone", timezone.now()) == 1

    first.refresh_from_db()
    assert (first.state, first.halts) == ("dead", False)
    assert "no second try" in first.error
    assert "Skipped by ann" in first.error
    assert "the record is gone" in first.error
    assert states() == ["dead", "queued"]


def test_what_holds_nothing_back_is_not_skipped(mapping):
    _, second = halted(mapping)

    assert skip_halting([second.pk], ANN, "", timezone.now()) == 0

    assert states() == ["dead", "blocked"]


@pytest.mark.parametrize(
    "change_mapping",
    [
        lambda: HandlerMapping.objects.update(on_dead="continue"),
        lambda: HandlerMapping.objects.update(ordering="unordered"),
    ],
    ids=["continue", "unordered"],
)
def test_a_mapping_that_holds_nothing_back_any_more_lets_the_next_begin(mapping, change_mapping):
    halted(mapping)

    change_mapping()
    relay.sweep(timezone.now())

    assert states() == ["dead", "ready"]
    assert not Delivery.objects.filter(halts=True).exists()


def test_a_blocked_one_says_what_it_waits_for(mapping):
    first, second = deliver(mapping, change(), change())
    assert waits_for(first) is None
    assert waits_for(second).delivery == first.pk
    assert (
        waits_for(second).reason == f"It waits for delivery {first.pk}, which waits for a worker."
    )

    now = timezone.now()
    assert claim([first.pk])
    assert waits_for(second).reason.endswith("which is running.")
    Delivery.objects.filter(pk=first.pk).update(state="retrying", due_at=now)
    assert "will be retried at" in waits_for(second).reason
    Delivery.objects.filter(pk=first.pk).update(state="dead", halts=True)
    assert "failed for good and holds back the next changes" in waits_for(second).reason
    Delivery.objects.filter(pk=first.pk).update(state="dead", halts=False)
    assert waits_for(second).delivery is None
    assert "Nothing holds it back" in waits_for(second).reason
    Delivery.objects.filter(pk=first.pk).update(state="blocked", awaits_record=True)
    HandlerMapping.objects.update(paused_at=now)
    assert waits_for(second).reason.endswith("until its record is read from Salesforce.")
    first.refresh_from_db()
    assert (waits_for(first).delivery, waits_for(first).reason) == (
        None,
        "It waits until its record is read from Salesforce.",
    )


@pytest.mark.parametrize(
    "fields", [{"ordering": "unordered"}, {"handler": "", "task": "elsewhere.run", "track": False}]
)
def test_halt_is_refused_where_it_would_do_nothing(listener, fields):
    fields = {"handler": "tests.fail", **fields}
    wanted = HandlerMapping(listener=listener, on="create", on_dead="halt", **fields)

    with pytest.raises(ValidationError) as refused:
        wanted.full_clean()

    assert set(refused.value.message_dict) == {"on_dead"}


def test_what_was_held_back_runs_in_order_in_the_end(mapping):
    deliver(mapping, *(change(sequence=number) for number in range(1, 5)))
    first = Delivery.objects.order_by("id").first()
    run_delivery(first.pk)
    HandlerMapping.objects.update(handler="tests.remember")
    Delivery.objects.exclude(pk=first.pk).update(handler="tests.remember")

    redeliver(RedeliveryRequest(ANN, Delivery.objects.filter(pk=first.pk)), timezone.now())
    for pk in Delivery.objects.order_by("id").values_list("id", flat=True):
        run_delivery(pk)

    entries = list(Delivery.objects.order_by("id").values_list("entry_id", flat=True))
    assert [line["id"] for line in read_journal()] == entries
    assert states() == ["succeeded"] * 4


def test_the_file_chooses_it_and_refuses_another_word(tmp_path):
    file = ConfigurationFile(tmp_path / "cdc.yaml")
    text = CONNECTION + "listeners:\n  - name: one\n    connection: prod\n    handlers:\n"
    text += "      - {on: update, handler: tests.fail, on_dead: WORD}\n"

    file.apply(text.replace("WORD", "halt"))
    assert HandlerMapping.objects.get(handler="tests.fail").on_dead == "halt"

    with pytest.raises(CommandError, match="on_dead: 'stop' is not valid"):
        file.apply(text.replace("WORD", "stop"))


def test_the_api_chooses_it_and_says_where_it_would_do_nothing(listener, admin_client):
    wanted = {"listener": listener.name, "on": "update", "handler": "tests.fail", "on_dead": "halt"}
    address, kind = "/api/v1/handler-mappings/", "application/json"

    assert admin_client.post(address, wanted, kind).json()["on_dead"] == "halt"
    refused = admin_client.post(address, {**wanted, "ordering": "unordered"}, kind).json()
    assert [error["field"] for error in refused["errors"]] == ["on_dead"]


def test_several_workers_keep_the_order_of_records_that_halt(listener, at_work):
    mapping = make_mapping(listener, "create", "tests.fail_once_when_told", on_dead="halt")
    names = [f"001{number:02}" for number in range(6)]

    for step in range(5):
        data = {"Fail": True} if step == 2 else {}
        messages = received(*(change(records=[name], data=data) for name in names))
        ingest(listener, lease_of(listener), messages, [mapping])
    wait_for(lambda: Delivery.objects.filter(halts=True).count() == len(names))
    assert Delivery.objects.filter(state="succeeded").count() == 2 * len(names)
    assert Delivery.objects.filter(state="blocked").count() == 2 * len(names)

    redeliver(request_matching(AuditLogFilter(state="dead"), ANN), timezone.now())

    wait_for(lambda: Delivery.objects.filter(state="succeeded").count() == 5 * len(names))
    for name in names:
        entries = AuditLogEntry.objects.filter(record_id=name).order_by("id")
        one, two, third, four, five = entries.values_list("id", flat=True)
        runs = [line["id"] for line in read_journal() if line["record"] == name]
        assert runs == [one, two, third, third, four, five]


@pytest.fixture
def at_work():
    """Three threads that run all deliveries that can begin."""
    is_over = threading.Event()

    def work():
        while not is_over.is_set():
            ready = Delivery.objects.filter(state__in=("ready", "queued")).order_by("?")
            for pk in list(ready.values_list("pk", flat=True)[:3]):
                run_delivery(pk)

    working = in_threads(work, work, work)
    yield
    is_over.set()
    for one in working:
        one.result()
