"""A handler whose short runs share a transaction, and what each of its changes makes it do."""

from typing import Any

from django.contrib.auth.models import Group
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from handlers import EventData, cdc_handler
from handlers.models import Delivery
from handlers.worker.run import run_deliveries

CALLS: list[Any] = []


@cdc_handler(name="tests.share", atomic=True, max_attempts=1)
def share(event: EventData) -> None:
    """Write a group, then do what the change's description says."""
    CALLS.append(event.id)
    Group.objects.create(name=f"{event.id}-{event.attempt}")
    if way := event.changed_data.get("Description"):
        WAYS[way](event)


def fail(event):
    raise ValueError("after the write")


def violate(event):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_group (name) SELECT name FROM auth_group")


def violate_and_explain(event):
    try:
        violate(event)
    except IntegrityError as error:
        raise ValueError("it cannot be copied") from error


def exit_process(event):
    raise SystemExit


def register_failing_hook(event):
    def hook():
        raise ValueError("the hook fails")

    transaction.on_commit(hook)


def register_hook(event):
    transaction.on_commit(lambda: CALLS.append(-event.id))


def register_hook_and_fail(event):
    register_hook(event)
    raise ValueError("after the hook")


def close_connection(event):
    connection.close()


def roll_back_unseen(event):
    """End the transaction in a way that the guard of the connection does not see."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT 1; ROLLBACK; BEGIN")
        else:
            cursor.execute("SELECT 1")
            connection.connection.rollback()
            connection.connection.execute("BEGIN")


def fail_at_commit(event):
    """A deferred foreign key of a row that does not exist, which the commit refuses."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO auth_group_permissions (group_id, permission_id) VALUES (0, 0)")


def take_name(event):
    """Take a name that stays taken until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE taken () ON COMMIT DROP")


def be_deadlocked(event):
    raise OperationalError("deadlock detected")


def set_time_zone(event):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TIME ZONE 'Asia/Tokyo'")


def note_time_zone(event):
    CALLS.append(time_zone())


def time_zone():
    with connection.cursor() as cursor:
        cursor.execute("SHOW timezone")
        return cursor.fetchone()[0]


WAYS = {
    way.__name__: way
    for way in (
        fail,
        violate,
        violate_and_explain,
        exit_process,
        register_failing_hook,
        register_hook,
        register_hook_and_fail,
        close_connection,
        roll_back_unseen,
        fail_at_commit,
        take_name,
        be_deadlocked,
        set_time_zone,
        note_time_zone,
    )
}


def run(ids):
    """Run deliveries in one message and return the number of their transactions' commits."""
    with CaptureQueriesContext(connection) as queries:
        run_deliveries(ids, "tests.share")
    return sum(query["sql"] == "COMMIT" for query in queries)


def seen(ids):
    return [Delivery.objects.get(pk=pk).state for pk in ids]
