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


def record(listener, keys):
    changes = [change(transactionKey=str(key), recordIds=[f"001{key}"]) for key in keys]
    ingest(listener, lease_of(listener), received(*changes))


@transaction.atomic
def occupied(*chains):
    return Delivery.objects.lock_occupied_chains(chains)


def read_of_waiting():
    """Return how many rows the indexes of deliveries that wait have returned so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes "
            "WHERE indexrelname IN ('delivery_waiting', 'delivery_queued')"
        )
        return cursor.fetchone()[0]


def test_what_waits_is_not_read_to_find_occupied_chains(listener):
    make_mapping(listener)
    record(listener, range(5000))
    Delivery.objects.update(state="succeeded")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE handlers_delivery")
        cursor.execute("SET plan_cache_mode = force_generic_plan")
        cursor.execute("SET enable_seqscan = off")  # as for a large table
    for _ in range(EXECUTED_BEFORE + 1):
        assert occupied("another") == set()
    record(listener, range(5000, 5300))
    chain = Delivery.objects.exclude(state="succeeded").values_list("chain", flat=True)[0]
    before = read_of_waiting()

    assert occupied("another", chain) == {chain}

    assert read_of_waiting() == before
