"""A worker that is killed in the middle of a message of many deliveries loses none, repeats only
what may be repeated, and costs the others one attempt at most."""

import pytest
from django.utils import timezone

from consumer import relay
from consumer.ingest.transaction import ingest
from handlers.models import Delivery, DeliveryAttempt, Handover
from handlers.outbox import publish
from tests.attempts import all_attempts
from tests.clock import a_moment_ago
from tests.crash_points import at, reached
from tests.handlers.bundling import ids_of
from tests.sample_data import change, lease_of, make_mapping, received
from tests.sample_handlers import RELEASE, read_journal
from tests.servers import wait_for
from tests.system.verdict import assert_in_order, noted_effects, written_effects

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anywhere]
QUICK = {"CDC_CLAIM_SECONDS": "4"}
RECORDS = 30
#: Changes of the first record beyond those: a long chain.
MORE = 12
CHANGES = 2 * RECORDS + MORE


@pytest.fixture
def backlog(listener, broker, journal):
    """Two changes of each record and many of the first, in messages of ten; `data` is that of the
    first records."""

    def make(handler, *data, **fields):
        mapping = make_mapping(listener, handler=handler, **fields)
        lease = lease_of(listener)
        told = [*data, *[{}] * (RECORDS - len(data))]
        for each in (told, [{}] * RECORDS):
            changes = [change(records=[f"001{n:015}"], data=one) for n, one in enumerate(each)]
            ingest(listener, lease, received(*changes), [mapping])
        more = [change(records=[f"001{0:015}"]) for _ in range(MORE)]
        ingest(listener, lease, received(*more), [mapping])
        Handover.objects.all().delete()  # they are published here, in messages of this size
        assert publish.publish(ids_of(state="queued"), timezone.now(), size=10) == RECORDS

    return make


def at_rest():
    """Let the relay work, and return whether all deliveries have ended."""
    relay.publish_due(timezone.now())
    relay.sweep(timezone.now())
    return not Delivery.objects.filter(state__in=Delivery.UNENDED).exists()


def wait_until_at_rest(changes=CHANGES):
    wait_for(at_rest, what="the end of each delivery")
    assert Delivery.objects.filter(state="succeeded").count() == changes
    succeeded = [attempt for attempt in all_attempts() if attempt.outcome == "succeeded"]
    assert len(succeeded) == changes


def lose_the_claims_of_the_process_that_died_in(delivery):
    """Let the claims end that the only child of a worker held when it died in the delivery's first
    attempt. A short time for claims would end others, too, on a slow machine."""

    def is_lost():
        delivery.refresh_from_db()
        if (delivery.state, delivery.attempts) == ("running", 1):
            held = Delivery.objects.filter(state="running", started_at__lte=delivery.started_at)
            held.update(claim_deadline=a_moment_ago())
        relay.sweep(timezone.now())
        return delivery.attempt_log.filter(outcome="lost").exists()

    wait_for(is_lost, what="the lost attempt")


@pytest.mark.parametrize("point", ["claimed", "handled", "settled", "ended"])
def test_a_child_killed_in_a_bundle_loses_nothing_and_keeps_the_order(processes, backlog, point):
    backlog("tests.remember")
    fault = at(f"{point}:kill:3")

    worker = processes.worker(concurrency=2, **QUICK, **fault)

    wait_until_at_rest()
    assert reached(fault) == {point}
    assert worker.is_running
    assert len(set(noted_effects())) == CHANGES
    assert_in_order(noted_effects())


def test_in_a_long_chain_only_the_change_that_ran_is_repeated(processes, listener, broker, journal):
    make_mapping(listener, handler="tests.remember")
    told = [change(records=[f"001{0:015}"]) for _ in range(40)]
    ingest(listener, lease_of(listener), received(*told))
    Handover.objects.all().delete()
    entries = list(Delivery.objects.order_by("id").values_list("entry", flat=True))
    assert publish.publish(ids_of(state="queued"), timezone.now()) == 1
    fault = at("handled:kill:15")

    processes.worker(**fault)

    wait_for(lambda: reached(fault) == {"handled"}, what="the kill")
    lose_the_claims_of_the_process_that_died_in(Delivery.objects.get(entry=entries[14]))
    wait_until_at_rest(40)
    assert [entry for _, entry in noted_effects()] == [*entries[:15], *entries[14:]]
    lost = DeliveryAttempt.objects.get(outcome="lost")
    assert (lost.delivery.entry_id, lost.number) == (entries[14], 1)


@pytest.mark.parametrize("handler", ["tests.write_group", "tests.write_groups"])
def test_atomic_effects_are_there_once(processes, backlog, handler):
    backlog(handler)
    fault = at("claimed:kill:2", "handled:kill:2", "settled:kill:2")

    processes.worker(concurrency=2, **QUICK, **fault)

    wait_until_at_rest()
    assert reached(fault) == {"claimed", "handled", "settled"}
    assert len(written_effects()) == len(set(written_effects())) == CHANGES
    assert_in_order(written_effects())


def test_atomic_runs_that_a_kill_kept_from_being_committed_are_repeated(processes, backlog):
    backlog("tests.write_group")
    fault = at("handled:kill:20")  # long after the first runs, which have transactions of their own

    processes.worker(**QUICK, **fault)

    wait_until_at_rest()
    assert reached(fault) == {"handled"}
    assert Delivery.objects.filter(attempts=2).exists()
    assert len(written_effects()) == len(set(written_effects())) == CHANGES
    assert_in_order(written_effects())


@pytest.mark.parametrize("handler", ["tests.die_when_told", "tests.batch_that_dies"])
def test_a_change_that_kills_its_process_costs_its_neighbours_one_attempt(
    processes, backlog, handler
):
    backlog(handler, {}, {}, {"Kill": True})

    processes.worker()

    poison = Delivery.objects.order_by("id")[2]
    wait_for(lambda: poison.entry_id in {line["id"] for line in read_journal()}, what="the kill")
    lose_the_claims_of_the_process_that_died_in(poison)
    wait_until_at_rest()
    poison.refresh_from_db()
    assert poison.attempts == 2
    others = Delivery.objects.exclude(pk=poison.pk).values_list("attempts", flat=True)
    assert set(others) <= {1, 2}
    lost = DeliveryAttempt.objects.filter(outcome="lost")
    assert 1 <= lost.count() <= 10  # of its message alone


def test_while_one_hangs_the_others_of_its_message_end(processes, backlog):
    RELEASE.unlink(missing_ok=True)
    backlog("tests.hang_when_told", {}, {}, {}, {"Hang": True})
    hanging = Delivery.objects.order_by("id")[3]
    after_it = Delivery.objects.order_by("id")[RECORDS + 3]

    processes.worker(concurrency=2)

    def others_ended():
        unended = Delivery.objects.filter(state__in=Delivery.UNENDED)
        return set(unended.values_list("pk", flat=True)) == {hanging.pk, after_it.pk}

    try:
        wait_for(others_ended, what="the end of the others")
        hanging.refresh_from_db()
        assert hanging.state == "running"
    finally:
        RELEASE.touch()
    wait_until_at_rest()
    RELEASE.unlink()
    assert not DeliveryAttempt.objects.exclude(outcome="succeeded").exists()
    assert len([line for line in read_journal() if "at" not in line]) == CHANGES


def test_a_run_that_is_stopped_for_its_length_fails_alone(processes, backlog):
    """The time limit counts from the start of the message."""
    RELEASE.unlink(missing_ok=True)
    backlog("tests.hang_when_told", {}, {}, {}, {"Hang": True})
    hanging = Delivery.objects.order_by("id")[3]

    processes.worker(CDC_RUN_SECONDS="20")  # the time limit ends it after 10 s

    try:
        wait_for(hanging.attempt_log.exists, what="the end of the run")
    finally:
        RELEASE.touch()
    wait_until_at_rest()
    RELEASE.unlink()
    failed = DeliveryAttempt.objects.exclude(outcome="succeeded").get()
    assert (failed.delivery_id, failed.outcome) == (hanging.pk, "failed")
    assert "SoftTimeLimitExceeded" in failed.error
