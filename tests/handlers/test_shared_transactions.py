"""Short runs of an atomic handler share a transaction, and stay as independent as without it."""

import logging
from types import SimpleNamespace

import pytest
from django.db import IntegrityError, OperationalError, transaction
from prometheus_client import REGISTRY

from handlers.models import Delivery, DeliveryAttempt
from handlers.worker import atomic_runs
from handlers.worker.message_run import Bundle
from handlers.worker.run import run_deliveries
from tests.at_once import in_threads
from tests.handlers.bundling import deliver
from tests.handlers.leaving import on_postgresql
from tests.handlers.sharing import CALLS, run, seen, time_zone
from tests.sample_handlers import written_groups
from tests.servers import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal"),
]


@pytest.fixture(autouse=True)
def nothing_called():
    CALLS.clear()


@pytest.fixture
def deliveries(listener, monkeypatch):
    """Makes deliveries of changes with these descriptions, after the first runs of the handler,
    which are claimed and run alone."""

    def make(*descriptions):
        first = deliver(listener, "tests.share", 8)
        run_deliveries(first, "tests.share")
        CALLS.clear()
        written_groups().delete()
        Delivery.objects.all().delete()
        data = [{"Description": text} if text else {} for text in descriptions]
        return deliver(listener, "tests.share", data=data)

    return make


def test_several_runs_are_committed_together(deliveries):
    ids = deliveries("", "", "", "")

    commits = run(ids)

    assert seen(ids) == ["succeeded"] * 4
    assert written_groups().count() == 4
    assert commits == 2  # the claim, and the runs


def test_a_failure_undoes_its_own_writes_alone(deliveries):
    ids = deliveries("", "fail", "")

    run(ids)

    assert seen(ids) == ["succeeded", "dead", "succeeded"]
    assert written_groups().count() == 2
    assert len(CALLS) == 3
    assert DeliveryAttempt.objects.get(delivery=ids[1]).error == "ValueError: after the write"


@on_postgresql
def test_after_a_database_error_a_run_is_repeated_alone(deliveries):
    ids = deliveries("", "take_name", "take_name", "")

    run(ids)

    assert seen(ids) == ["succeeded"] * 4
    assert len(CALLS) == 5


def test_a_database_error_of_its_own_fails_a_run(deliveries):
    ids = deliveries("", "violate", "")

    run(ids)

    assert seen(ids) == ["succeeded", "dead", "succeeded"]
    assert written_groups().count() == 2
    assert IntegrityError.__name__ in DeliveryAttempt.objects.get(delivery=ids[1]).error


def test_a_run_is_repeated_before_the_runs_after_it(deliveries):
    ids = deliveries("", "violate", "")

    run(ids)

    first, second, third = (Delivery.objects.get(pk=pk).entry_id for pk in ids)
    assert [first, second, second, third] == CALLS


def test_an_error_that_a_database_error_caused_is_one_too(deliveries):
    ids = deliveries("", "violate_and_explain")

    run(ids)

    assert len(CALLS) == 3
    assert seen(ids) == ["succeeded", "dead"]


def test_runs_whose_transaction_cannot_begin_are_repeated(deliveries, monkeypatch):
    ids = deliveries("", "", "")
    atomic, left = transaction.atomic, [OperationalError("database is locked")]

    def fail_once(*args, **options):
        if left:
            raise left.pop()
        return atomic(*args, **options)

    monkeypatch.setattr(atomic_runs, "transaction", SimpleNamespace(atomic=fail_once))

    run(ids)

    assert seen(ids) == ["succeeded"] * 3
    assert not DeliveryAttempt.objects.exists()


def test_a_transaction_does_not_wait_for_the_watchdog():
    """On SQLite, the watchdog may hold its lock and wait for the transaction."""
    bundle = Bundle([])

    with bundle._lock:
        [tried] = in_threads(lambda: bundle.next(lambda unit: True))
        tried.result(PATIENCE_SECONDS)


def test_the_duration_of_each_run_is_observed(deliveries):
    ids = deliveries("", "", "")
    listener = Delivery.objects.get(pk=ids[0]).entry.listener.name
    labels = {"listener": listener, "handler": "tests.share"}
    before = REGISTRY.get_sample_value("cdc_handler_seconds_count", labels)

    run(ids)

    assert REGISTRY.get_sample_value("cdc_handler_seconds_count", labels) == before + 3


def test_the_first_run_of_a_transaction_is_not_repeated_after_its_database_error(deliveries):
    ids = deliveries("violate", "")

    run(ids)

    assert seen(ids) == ["dead", "succeeded"]
    assert len(CALLS) == 2


@pytest.mark.parametrize("way", ["fail_at_commit", "close_connection"])
def test_where_the_transaction_fails_each_runs_again_alone(deliveries, way):
    ids = deliveries("", way, "", "fail")

    run(ids)

    assert seen(ids) == ["succeeded", "dead", "succeeded", "dead"]
    assert written_groups().count() == 2


def test_a_last_run_that_ends_the_transaction_unseen_does_not_cost_the_others_their_writes(
    deliveries,
):
    ids = deliveries("", "", "roll_back_unseen")

    run(ids)

    first, second, _ = (Delivery.objects.get(pk=pk).entry_id for pk in ids)
    names = {name.partition("-")[0] for name in written_groups().values_list("name", flat=True)}
    assert {str(first), str(second)} <= names


def test_after_a_failed_transaction_runs_are_alone_for_a_time(deliveries, monkeypatch):
    ids = deliveries("", "be_deadlocked", "", "", "")

    assert run(ids[:2]) > 2
    assert run(ids[2:4]) == 3
    monkeypatch.setattr(atomic_runs, "_apart_until", {})
    assert seen(ids[:4]) == ["succeeded", "dead", "succeeded", "succeeded"]


def test_a_lost_claim_costs_the_others_nothing(deliveries, monkeypatch):
    ids = deliveries("", "", "")
    settle = atomic_runs.settle_in_transaction

    def lose_one(ended):
        if len(ended) > 1:
            Delivery.objects.filter(pk=ids[1]).update(attempts=7)
        return settle(ended)

    monkeypatch.setattr(atomic_runs, "settle_in_transaction", lose_one)

    run(ids)

    assert seen(ids) == ["succeeded"] * 3
    assert written_groups().count() == 3


def test_a_process_that_ends_gives_back_what_it_has_not_committed(deliveries, monkeypatch):
    ids = deliveries("", "", "exit_process", "")
    monkeypatch.setattr("handlers.worker.invoke._ends_process", lambda error: True)

    with pytest.raises(SystemExit):
        run(ids)

    assert not written_groups().exists()
    assert seen(ids) == ["queued", "queued", "running", "queued"]
    assert Delivery.objects.get(pk=ids[0]).attempts == 0


def test_a_hook_runs_after_the_commit_if_its_run_succeeded(deliveries):
    ids = deliveries("register_hook", "register_hook_and_fail", "")

    run(ids)

    entry = Delivery.objects.get(pk=ids[0]).entry_id
    assert [call for call in CALLS if call < 0] == [-entry]


def test_a_hook_that_fails_does_not_stop_the_hooks_of_other_runs(deliveries, caplog):
    ids = deliveries("register_failing_hook", "register_hook", "")

    with caplog.at_level(logging.ERROR):
        run(ids)

    assert seen(ids) == ["succeeded"] * 3
    assert min(CALLS) < 0
    assert "the hook fails" in caplog.text


@on_postgresql
def test_a_local_setting_ends_with_its_run(deliveries):
    before = time_zone()
    ids = deliveries("", "set_time_zone", "note_time_zone")

    run(ids)

    assert seen(ids) == ["succeeded"] * 3
    assert CALLS[-1] == before != "Asia/Tokyo"


def test_runs_that_take_long_do_not_share(deliveries, monkeypatch):
    monkeypatch.setattr(atomic_runs, "CLAIM_SECONDS", -1)
    ids = deliveries("", "", "")

    assert run(ids) == 4


def test_a_transaction_has_a_limited_number_of_runs(deliveries, monkeypatch):
    monkeypatch.setattr(atomic_runs, "MOST_TOGETHER", 2)
    ids = deliveries("", "", "", "")

    assert run(ids) == 3
