"""Queries that are compiled once return and change the same rows as Django's own."""

from pathlib import Path

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.db.prepared import Param, Prepared, delete_query, update_query
from audit.models import AuditLogEntry, Throughput
from cdcproject.conf.db_timeouts import EXECUTED_BEFORE
from cdcproject.conf.servers import database
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.worker import hot_sql
from listeners.models import Listener, Position
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = pytest.mark.django_db(transaction=True)

ON_POSTGRESQL = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite keeps no plans")


def named(name="name"):
    return Prepared(lambda: Listener.objects.filter(name=Param(name)))


def columns(row):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def kept_plans():
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


def test_objects_are_those_that_django_makes_with_all_that_is_beside_them(listener):
    mapping = make_mapping(listener, options={"to": ["a"]}, condition={"field": "A", "equals": 1})
    data = {"A": 1, "Name": 'Ünï "q" %s \\', "None": None, "In": {"a": [1.5]}}
    ingest(listener, lease_of(listener), received(change(data=data, changedFields=["Name"])))
    expected = Delivery.objects.select_related("entry__listener", "mapping").get()

    found = hot_sql.load(expected.pk)

    with CaptureQueriesContext(connection) as queries:
        beside = [found, found.entry, found.entry.listener, found.mapping]
    assert [columns(row) for row in beside] == [
        columns(row) for row in (expected, expected.entry, listener, mapping)
    ]
    assert not queries.captured_queries
    found.refresh_from_db()
    found.save()


def test_objects_have_the_annotations_that_django_gives_them(listener):
    prepared = Prepared(lambda: Position.objects.with_life().select_related("listener"))
    Position.objects.get_or_create(listener=listener)
    [free] = prepared.objects()
    lease = lease_of(listener)
    [held] = prepared.objects()

    assert (free.is_held, held.is_held) == (False, True)
    assert columns(held) == columns(Position.objects.get(holder=lease.holder))
    assert (held.listener, held.listener.name) == (listener, listener.name)


def test_what_is_not_there_is_none(listener):
    mapping = make_mapping(listener)
    ingest(listener, lease_of(listener), received(change()))
    mapping.delete()

    assert hot_sql.load(Delivery.objects.get().pk).active_mapping is None
    assert [one.active_mapping for one in hot_sql.load_all([Delivery.objects.get()])] == [None]
    assert hot_sql.load(0) is None


def test_values_come_as_django_gives_them(listener):
    moment = timezone.now()
    Throughput.objects.create(listener=listener, minute=moment, events=1, entries=2)
    of = Prepared(
        lambda: Throughput.objects.filter(minute=Param("minute")).values_list("events", "minute")
    )

    assert of.rows(minute=moment) == [(1, moment)]
    assert of.rows(minute=timezone.now()) == []


@pytest.mark.parametrize("name", ["'", "%", "%s", '"', "\\", "{a,b}", "ü"])
def test_any_text_can_be_written_into_it_and_given(listener, name):
    Listener.objects.update(name=name)
    written = Prepared(lambda: Listener.objects.filter(name=name, enabled=True))
    listed = Prepared(lambda: Listener.objects.filter(name__among=Param("names")))

    assert written.objects() == named().objects(name=name) == [listener]
    assert listed.objects(names=[name, "b"]) == [listener]
    assert listed.objects(names=[]) == []


def test_it_changes_and_deletes_what_it_finds_and_says_how_many(listener):
    Throughput.objects.create(listener=listener, minute=timezone.now(), events=1, entries=2)
    found = Throughput.objects.filter(listener=listener)
    add = Prepared(lambda: update_query(found, events=F("events") + Param("more"), entries=0))
    delete = Prepared(lambda: delete_query(Throughput.objects.filter(pk__among=Param("ids"))))

    assert (add.execute(more=2), add.execute(more=3)) == (1, 1)
    assert found.values_list("events", "entries").get() == (6, 0)
    assert delete.execute(ids=[0]) == 0
    assert delete.execute(ids=[found.get().pk]) == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's driver writes anything")
def test_what_cannot_be_written_into_it_is_named():
    with pytest.raises(TypeError, match="pass it as Param"):
        Prepared(lambda: Listener.objects.filter(read_timeout=1.5)).objects()


@ON_POSTGRESQL
@pytest.mark.usefixtures("limited")
def test_the_plan_of_what_is_executed_again_and_again_is_kept(listener):
    statement = named()

    for _ in range(EXECUTED_BEFORE):
        statement.objects(name=listener.name)
    before = kept_plans()
    statement.objects(name=listener.name)

    assert before == []
    assert len(kept_plans()) == 1


@ON_POSTGRESQL
@pytest.mark.usefixtures("limited")
def test_it_goes_on_after_a_transaction_that_failed(listener):
    statement = named()
    for _ in range(EXECUTED_BEFORE + 1):
        statement.objects(name=listener.name)

    with pytest.raises(IntegrityError), transaction.atomic():
        AuditLogEntry.objects.create(listener_id=0)

    assert statement.objects(name=listener.name) == [listener]


@ON_POSTGRESQL
@pytest.mark.usefixtures("limited")
def test_no_plan_is_kept_where_the_options_say_so(listener, monkeypatch):
    told = database("postgres://host/name?prepare_threshold=none", Path())["OPTIONS"]
    monkeypatch.setitem(
        connection.settings_dict["OPTIONS"], "prepare_threshold", told["prepare_threshold"]
    )
    connection.close()
    statement = named()

    for _ in range(EXECUTED_BEFORE + 1):
        statement.objects(name=listener.name)

    assert kept_plans() == []
