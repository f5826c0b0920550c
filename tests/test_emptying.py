"""After a test with its own transactions, the next test finds the database in its first state."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from psycopg import OperationalError

from tests.emptying import Beginning
from tests.processes import APPLICATION_NAME

pytestmark = pytest.mark.django_db(transaction=True)


def everything() -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.django_table_names(only_existing=True):
            cursor.execute(f"SELECT * FROM {table}")
            found[table] = sorted(cursor.fetchall())
    return found


def test_what_a_test_wrote_is_gone_and_what_it_changed_is_back(django_user_model):
    first, beginning = everything(), Beginning()
    user = django_user_model.objects.create_user("somebody")
    user.groups.set(Group.objects.all())
    Group.objects.filter(name="CDC Viewer").update(name="Reader")
    Permission.objects.filter(content_type__model="listener").delete()
    ContentType.objects.filter(model="incident").delete()
    Group.objects.create(name="new")

    beginning.restore()

    assert everything() == first


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no sessions")
def test_a_transaction_that_a_killed_process_left_open_writes_nothing():
    first, beginning = everything(), Beginning()
    parameters = connection.get_connection_params()
    left_open = connection.get_new_connection(parameters | {"application_name": APPLICATION_NAME})
    left_open.execute("BEGIN")
    left_open.execute("INSERT INTO auth_group (name) VALUES ('left open')")

    beginning.restore()

    with pytest.raises(OperationalError):
        left_open.execute("COMMIT")
    left_open.close()
    assert everything() == first


def test_thousands_of_new_rows_are_removed(django_user_model):
    first, beginning = everything(), Beginning()
    django_user_model.objects.bulk_create(
        django_user_model(username=f"somebody {number}") for number in range(3000)
    )

    beginning.restore()

    assert everything() == first
