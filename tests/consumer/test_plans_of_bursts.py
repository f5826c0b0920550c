"""A plan that PostgreSQL made while nothing waited is as good when much does."""

import pytest
from django.db import connection, transaction

from cdcproject.conf.db_timeouts import EXECUTED_BEFORE
from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "limited"),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite keeps no plans"),
]

#: How often PostgreSQL plans a prepared statement anew before it may keep a plan.
PLANNED_ANEW = 5


def record(listener, keys):
    changes = [change(transactionKey=str(key), recordIds=[f"001{key}"]) for key in keys]
    ingest(listener, lease_of(listener), received(*changes))


@transaction.atomic
def occupied(*chains):
    return Delivery.objects.lock_occupied_chains(chains)


@transaction.atomic
def promoted(*chains):
    return Delivery.objects.promote(chains)


def kept_plans():
    """Return how many searches in chains have used a kept plan."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(generic_plans), 0) FROM pg_prepared_statements "
            "WHERE position('c.value' IN statement) > 0"
        )
        return int(cursor.fetchone()[0])


def read_elsewhere():
    """Return how many rows the indexes of deliveries have returned so far, but for that of chains
    and that of ids."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'handlers_delivery'"
            " AND indexrelname NOT IN ('delivery_chain', 'handlers_delivery_pkey')"
        )
        return cursor.fetchone()[0]


def plan_while_nothing_waits(listener, search):
    """Record changes that are all handled, and execute the search until its plan is kept."""
    make_mapping(listener)
    record(listener, range(5000))
    Delivery.objects.update(state="succeeded")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE handlers_delivery")
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.execute("SET enable_seqscan = off")  # as for a large table
    for _ in range(EXECUTED_BEFORE + 1):
        assert not search()


@pytest.mark.parametrize("others", [[], ["another"]], ids=["one", "several"])
def test_what_waits_is_not_read_to_find_occupied_chains(listener, others):
    plan_while_nothing_waits(listener, lambda: occupied("yet another", *others))
    record(listener, range(5000, 5300))
    chain = Delivery.objects.exclude(state="succeeded").values_list("chain", flat=True)[0]
    before = read_elsewhere()

    assert occupied(chain, *others) == {chain}

    assert read_elsewhere() == before


@pytest.mark.parametrize("others", [[], ["another"]], ids=["one", "several"])
def test_what_is_blocked_is_not_read_to_find_the_next_delivery(listener, others):
    plan_while_nothing_waits(listener, lambda: promoted("yet another", *others))
    Delivery.objects.filter(pk__gt=Delivery.objects.order_by("-pk")[300].pk).update(state="blocked")
    before = read_elsewhere()

    assert promoted("yet another", *others) == []

    assert read_elsewhere() == before


def test_the_search_in_one_chain_is_planned_once(listener):
    make_mapping(listener)
    record(listener, range(100))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE handlers_delivery")
    for _ in range(EXECUTED_BEFORE + PLANNED_ANEW):
        occupied("another")
    before = kept_plans()

    occupied("another")

    assert kept_plans() == before + 1
