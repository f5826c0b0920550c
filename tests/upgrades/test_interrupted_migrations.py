"""A migration that is not one transaction, run again after it was interrupted."""

import pytest
from django.db import connections, models
from django.db.migrations import Migration
from django.db.migrations.state import ModelState, ProjectState

from audit.index_operations import AddFieldAtOnce


@pytest.fixture
def shop():
    state = ProjectState()
    state.add_model(ModelState("shop", "Item", [("id", models.BigAutoField(primary_key=True))]))
    return state


class _Adding(Migration):
    atomic = False
    operations = [
        AddFieldAtOnce("item", "name", models.CharField(max_length=9, db_default="")),
        AddFieldAtOnce("item", "price", models.IntegerField(db_default=7)),
    ]


def _columns(alias):
    connection = connections[alias]
    with connection.cursor() as cursor:
        found = connection.introspection.get_table_description(cursor, "shop_item")
    return sorted(column.name for column in found)


def test_a_column_that_is_there_already_stays_with_its_values(database, shop):
    adding = _Adding("0002_adding", "shop")
    with connections[database].schema_editor() as editor:
        editor.create_model(shop.apps.get_model("shop", "Item"))
    half = shop.clone()
    adding.operations[0].state_forwards("shop", half)
    with connections[database].schema_editor() as editor:  # and there it was interrupted
        adding.operations[0].database_forwards("shop", editor, shop, half)
    half.apps.get_model("shop", "Item").objects.using(database).create(name="chair")

    with connections[database].schema_editor(atomic=False) as editor:
        after = adding.apply(shop.clone(), editor)

    rows = after.apps.get_model("shop", "Item").objects.using(database)
    assert list(rows.values_list("name", "price")) == [("chair", 7)]

    with connections[database].schema_editor(atomic=False) as editor:
        adding.unapply(shop.clone(), editor)
    assert _columns(database) == ["id"]
