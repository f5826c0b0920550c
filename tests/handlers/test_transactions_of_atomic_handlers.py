"""An atomic handler fails if it ends, breaks or alters the transaction that it runs in."""

import pytest
from django.db import connection

from tests.handlers.leaving import deliver, later_ones_work, on_postgresql, seen
from tests.running import run_delivery
from tests.sample_handlers import written_groups

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "journal", "connection_closed_after"),
]

ATOMIC = {
    "closing": "closed the connection inside its transaction on database 'default'",
    "closing_and_going_on": "closed the connection inside its transaction",
    "set_rollback": "marked its transaction for rollback",
    "an_inner_block_that_is_not_left": "left an inner transaction.atomic() open",
    "a_rollback_in_sql": "ended the transaction that it ran in",
}
ATOMIC_POSTGRESQL = {
    "a_caught_error": "marked its transaction for rollback",
    "set_transaction_read_only": "made its transaction read-only",
    "read_only": "default_transaction_read_only = on",
    "search_path": "search_path = pg_catalog",
    "role": "role = pg_monitor",
    "results_unread": "left results unread",
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *[pytest.param(*case, id=case[0]) for case in ATOMIC.items()],
        *[
            pytest.param(*case, id=case[0], marks=on_postgresql)
            for case in ATOMIC_POSTGRESQL.items()
        ],
    ],
)
def test_an_atomic_handler_fails_with_the_reason_and_is_rolled_back(listener, name, reason):
    [delivery] = deliver(listener, "tests.leave_changed_atomic", way=name)

    assert run_delivery(delivery.pk) == "failed"

    state, error = seen(delivery)
    assert state == "dead"
    assert reason in error
    assert not written_groups().exists()
    later_ones_work(listener)


def test_an_atomic_handler_that_commits_by_itself_fails_with_the_reason(listener):
    [delivery] = deliver(listener, "tests.leave_changed_atomic", way="a_commit_in_sql")

    assert run_delivery(delivery.pk) == "failed"

    assert "ended the transaction that it ran in" in seen(delivery)[1]
    later_ones_work(listener)


@on_postgresql
def test_an_atomic_handler_may_set_what_ends_with_its_transaction(listener):
    [delivery] = deliver(listener, "tests.leave_changed_atomic", way="set_local")

    assert run_delivery(delivery.pk) == "succeeded"

    assert written_groups().count() == 1
    later_ones_work(listener)


@on_postgresql
def test_a_database_error_that_an_atomic_handler_raises_is_its_only_error(listener):
    run_delivery(deliver(listener, "tests.remember")[0].pk)
    raw = connection.connection
    [delivery] = deliver(listener, "tests.leave_changed_atomic", way="a_database_error")

    assert run_delivery(delivery.pk) == "failed"

    assert "the handler" not in seen(delivery)[1]
    assert connection.connection is raw
