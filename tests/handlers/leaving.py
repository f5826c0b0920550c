"""Handlers that leave their database connection changed, each in its own way."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, connections, transaction

from consumer.ingest.transaction import ingest
from handlers import EventData, cdc_handler
from handlers.models import Delivery
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's own")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own")

WAYS: dict[str, Callable[[], None]] = {}
#: Keeps objects alive that would otherwise be cleaned up.
KEPT: list[Any] = []


def way(function):
    WAYS[function.__name__] = function
    return function


@cdc_handler(name="tests.leave_changed", max_attempts=1)
def leave_changed(event: EventData) -> None:
    WAYS[event.options["way"]]()


@cdc_handler(name="tests.leave_changed_atomic", max_attempts=1, atomic=True)
def leave_changed_atomic(event: EventData) -> None:
    Group.objects.create(name="written-first")
    WAYS[event.options["way"]]()


@cdc_handler(name="tests.leave_changed_batch", max_attempts=1, batch=10)
def leave_changed_batch(events: list[EventData]) -> None:
    WAYS[events[0].options["way"]]()


def execute(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@way
def autocommit_off():
    transaction.set_autocommit(False)
    Group.objects.create(name="left-open")


@way
def autocommit_off_and_nothing_done():
    transaction.set_autocommit(False)


@way
def an_atomic_block_that_is_not_left():
    transaction.atomic().__enter__()
    Group.objects.create(name="left-open")


@way
def a_transaction_begun_in_sql():
    execute("BEGIN")
    Group.objects.create(name="left-open")


@way
def an_open_transaction_and_an_error():
    autocommit_off()
    raise ValueError("and failed, too")


@way
def the_drivers_autocommit_off():
    connection.connection.autocommit = False
    Group.objects.create(name="left-open")


@way
def an_aborted_transaction():
    transaction.set_autocommit(False)
    with suppress(DatabaseError):
        execute("SELECT * FROM no_such_table")


@way
def results_unread():
    cursor = connection.connection.cursor()
    KEPT.append(cursor.stream("SELECT generate_series(1, 100000)"))
    next(KEPT[-1])


@way
def pipeline_mode():
    KEPT.append(connection.connection.pipeline())
    KEPT[-1].__enter__()


@way
def read_only():
    execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")


@way
def search_path():
    execute("SET search_path = pg_catalog")


@way
def search_path_by_a_function():
    execute("SELECT set_config('search_path', 'pg_catalog', false)")


@way
def role():
    execute("SET ROLE pg_monitor")


@way
def time_zone():
    execute("SET TIME ZONE 'Asia/Tokyo'")


@way
def statement_timeout():
    execute("SET statement_timeout = 60000")


@way
def read_only_by_the_driver():
    connection.connection.read_only = True


@way
def query_only():
    execute("PRAGMA query_only = 1")


@way
def implicit_transactions():
    connection.connection.isolation_level = "DEFERRED"
    Group.objects.create(name="left-open")


# Inside an atomic handler's own transaction


@way
def closing():
    connection.close()


@way
def closing_and_going_on():
    connection.close()
    Group.objects.create(name="not-written")


@way
def set_rollback():
    transaction.set_rollback(True)


@way
def a_caught_error():
    with suppress(DatabaseError):
        Group.objects.create(name="written-first")


@way
def an_inner_block_that_is_not_left():
    transaction.atomic().__enter__()
    Group.objects.create(name="left-open")


@way
def a_commit_in_sql():
    execute("COMMIT")


@way
def a_rollback_in_sql():
    execute("ROLLBACK")


@way
def set_transaction_read_only():
    execute("SET TRANSACTION READ ONLY")


@way
def set_local():
    execute("SET LOCAL search_path = pg_catalog")
    execute("SET LOCAL ROLE pg_monitor")
    execute("SELECT set_config('statement_timeout', '60000', true)")


# Allowed


@way
def closing_outside_of_a_transaction():
    Group.objects.create(name="written-before")
    connection.close()


@way
def transactions_of_its_own():
    with transaction.atomic():
        Group.objects.create(name="written-in-one")
        with suppress(ValueError), transaction.atomic():
            Group.objects.create(name="undone-in-it")
            raise ValueError
    with transaction.atomic():
        transaction.set_rollback(True)


@way
def a_setting_that_is_put_back():
    if connection.vendor == "postgresql":
        execute("SET statement_timeout = 60000")
        execute("RESET statement_timeout")
    else:
        execute("PRAGMA query_only = 1")
        execute("PRAGMA query_only = 0")


# Past Django


@way
def past_django():
    connection.connection.execute("SET search_path = pg_catalog")


def deliver(listener, handler, *messages, **options):
    mapping = make_mapping(listener, handler=handler, options=options, ordering="unordered")
    ingest(listener, lease_of(listener), received(*(messages or [change()])), [mapping])
    return list(Delivery.objects.filter(mapping=mapping).order_by("id"))


def seen(delivery):
    """Return the delivery's state and error as another process sees them."""
    own = connections.create_connection("default")
    try:
        with own.cursor() as cursor:
            cursor.execute(
                "SELECT state, error FROM handlers_delivery WHERE id = %s", [delivery.pk]
            )
            return cursor.fetchone()
    finally:
        own.close()


def later_ones_work(listener):
    [after] = deliver(listener, "tests.remember")
    [atomic] = deliver(listener, "tests.write_group")
    assert run_delivery(after.pk) == "succeeded"
    assert run_delivery(atomic.pk) == "succeeded"
    assert seen(after)[0] == seen(atomic)[0] == "succeeded"


@way
def a_database_error():
    execute("SELECT * FROM no_such_table")
