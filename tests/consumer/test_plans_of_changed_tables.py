"""Sessions with cached plans continue to work when a migration changes their tables."""

import pytest
from django.db import OperationalError, connection, transaction

from audit.db.prepared import Param, Prepared
from cdcproject.conf.db_timeouts import EXECUTED_BEFORE
from consumer.ingest.transaction import ingest
from handlers.models import Delivery, HandlerMapping
from handlers.worker.run import run_deliveries
from tests.attempts import all_attempts
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("broker", "unhurried"),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite keeps no plans"),
]


@pytest.fixture
def widen(limited):
    """Widens a column of the mappings' table, as a migration in another process does."""
    yield lambda: _make_wide(301)
    connection.close()
    _make_wide(HandlerMapping._meta.get_field("handler").max_length)


def _make_wide(length):
    other = connection.copy()  # the driver forgets the plans of the session that changes a table
    with other.cursor() as cursor:
        cursor.execute(f"ALTER TABLE handlers_handlermapping ALTER handler TYPE varchar({length})")
    other.close()


def recorded(listener, *keys):
    changes = [change(transactionKey=str(key), recordIds=[f"001{key}"]) for key in keys]
    return ingest(listener, lease_of(listener), received(*changes)).to_publish.ids


@pytest.mark.parametrize(
    ("run", "count"), [(lambda ids: run_delivery(*ids), 1), (run_deliveries, 2)]
)
def test_each_delivery_is_run_at_its_first_attempt(listener, widen, run, count):
    make_mapping(listener)
    together = [range(n, n + count) for n in range(0, (EXECUTED_BEFORE + 3) * count, count)]
    *before, late, later = [recorded(listener, *keys) for keys in together]
    for ids in before:
        run(ids)

    widen()
    run(late)
    run(later)

    assert set(Delivery.objects.values_list("state", "attempts")) == {("succeeded", 1)}
    assert len(all_attempts()) == len(together) * count


def test_a_transaction_is_to_be_tried_again(listener, widen):
    make_mapping(listener)
    mappings = Prepared(lambda: HandlerMapping.objects.filter(listener=Param("listener_id")))

    def read():
        with transaction.atomic(durable=True):
            return mappings.objects(listener_id=listener.pk)

    known = [read() for _ in range(EXECUTED_BEFORE + 1)]
    widen()

    with pytest.raises(OperationalError, match="prepared again"):
        read()
    assert read() == known[0]
