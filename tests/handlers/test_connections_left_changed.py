"""A handler that leaves its database connection changed fails, and later runs are not affected."""

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections

from handlers.models import DeliveryAttempt
from handlers.worker.connection_guard import ConnectionGuard
from handlers.worker.run import run_deliveries
from tests.handlers.leaving import deliver, later_ones_work, on_postgresql, on_sqlite, seen
from tests.running import run_delivery
from tests.sample_data import change
from tests.sample_handlers import read_journal, written_groups

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal", "connection_closed_after"),
]

EVERYWHERE = {
    "autocommit_off": "left a transaction open on database 'default'",
    "autocommit_off_and_nothing_done": "autocommit off",
    "an_atomic_block_that_is_not_left": "left a transaction open on database 'default'",
    "a_transaction_begun_in_sql": "left a transaction open on database 'default'",
    "an_open_transaction_and_an_error": "left a transaction open on database 'default'",
}
POSTGRESQL = {
    "the_drivers_autocommit_off": "left a transaction open",
    "an_aborted_transaction": "left a transaction open, after a database error",
    "results_unread": "left results unread",
    "pipeline_mode": "left pipeline mode on",
    "read_only": "default_transaction_read_only = on",
    "search_path": "search_path = pg_catalog",
    "search_path_by_a_function": "search_path = pg_catalog",
    "role": "role = pg_monitor",
    "time_zone": "TimeZone = Asia/Tokyo",
    "statement_timeout": "statement_timeout = 1min",
    "read_only_by_the_driver": "changed how transactions begin",
}
SQLITE = {
    "query_only": "query_only = 1",
    "implicit_transactions": "left a transaction open",
}


def _ways():
    cases = [(name, reason, ()) for name, reason in EVERYWHERE.items()]
    cases += [(name, reason, on_postgresql) for name, reason in POSTGRESQL.items()]
    cases += [(name, reason, on_sqlite) for name, reason in SQLITE.items()]
    return [pytest.param(name, reason, id=name, marks=marks) for name, reason, marks in cases]


WAYS_TO_LEAVE = _ways()


@pytest.mark.parametrize(("name", "reason"), WAYS_TO_LEAVE)
def test_the_attempt_fails_with_the_reason_and_later_ones_work(listener, name, reason):
    [delivery] = deliver(listener, "tests.leave_changed", way=name)

    assert run_delivery(delivery.pk) == "failed"

    state, error = seen(delivery)
    assert state == "dead"
    assert reason in error
    assert not written_groups().filter(name="left-open").exists()
    later_ones_work(listener)


@pytest.mark.parametrize(("name", "reason"), WAYS_TO_LEAVE)
def test_the_others_of_a_message_go_on(listener, name, reason):
    changed = deliver(listener, "tests.leave_changed", way=name)
    others = deliver(listener, "tests.remember", *[change(records=[f"001{n}"]) for n in range(3)])

    run_deliveries([one.pk for one in [*changed, *others]])

    assert [seen(one)[0] for one in [*changed, *others]] == ["dead", *["succeeded"] * 3]


@pytest.mark.parametrize(("name", "reason"), WAYS_TO_LEAVE)
def test_a_batch_fails_as_a_whole(listener, name, reason):
    messages = [change(records=[f"001{n}"]) for n in range(3)]
    batch = deliver(listener, "tests.leave_changed_batch", *messages, way=name)

    run_deliveries([one.pk for one in batch], "tests.leave_changed_batch")

    assert all(reason in seen(one)[1] for one in batch)
    later_ones_work(listener)


def test_what_the_handler_raised_is_kept_beside_the_reason(listener):
    [delivery] = deliver(listener, "tests.leave_changed", way="an_open_transaction_and_an_error")

    run_delivery(delivery.pk)

    attempt = DeliveryAttempt.objects.get()
    assert attempt.error.startswith("ValueError: and failed, too; the handler left a transaction")
    assert "in an_open_transaction_and_an_error" in attempt.traceback


@pytest.mark.parametrize(
    "name",
    ["closing_outside_of_a_transaction", "transactions_of_its_own", "a_setting_that_is_put_back"],
)
def test_what_is_put_back_is_no_failure(listener, name):
    [delivery] = deliver(listener, "tests.leave_changed", way=name)

    assert run_delivery(delivery.pk) == "succeeded"

    later_ones_work(listener)


def test_the_same_connection_is_kept_for_handlers_that_leave_it_alone(listener):
    first, second = deliver(listener, "tests.remember", change(), change(records=["001B"]))
    run_delivery(first.pk)
    raw = connection.connection

    run_delivery(second.pk)

    assert connection.connection is raw
    assert connection.execute_wrappers == []
    assert len(read_journal()) == 2


# Changes that the guard cannot see: a session that refuses the product's statements is replaced.


@on_postgresql
def test_a_session_that_was_changed_past_django_is_replaced(listener):
    [delivery] = deliver(listener, "tests.leave_changed", way="past_django")

    assert run_delivery(delivery.pk) == "succeeded"

    assert seen(delivery)[0] == "succeeded"
    later_ones_work(listener)


@pytest.fixture
def unopened_connection():
    """A connection that this thread has and never opened, such as one of a second database, which
    Celery makes in each child of a pool."""
    before = connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS] = connections.create_connection(DEFAULT_DB_ALIAS)
    yield connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS].close()
    connections[DEFAULT_DB_ALIAS] = before


def test_a_handler_may_be_the_first_to_open_a_connection(unopened_connection):
    guard = ConnectionGuard()

    with unopened_connection.cursor() as cursor:
        cursor.execute("SELECT 1")

    assert guard.changes() == ""
    assert unopened_connection.is_usable()
