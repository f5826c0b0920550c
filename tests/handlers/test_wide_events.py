"""Events that name many records have a delivery for each, and each handler gets all record ids."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditLogEntry
from consumer.ingest.transaction import ingest
from handlers import cdc_handler
from handlers.worker.run import run_deliveries
from tests.handlers.bundling import ids_of, record_id
from tests.sample_data import change, lease_of, make_mapping, received

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]

RECORDS = [record_id(n) for n in range(20)]
told: list[tuple[str, tuple[str, ...]]] = []


@cdc_handler(name="tests.told_of_all", batch=50)
def told_of_all(events):
    told.extend((event.metadata.record_id, event.metadata.record_ids) for event in events)


def test_they_are_read_once_for_all_deliveries_that_are_loaded_together(listener):
    told.clear()
    make_mapping(listener, handler="tests.told_of_all")
    wide = change(records=RECORDS)
    ingest(listener, lease_of(listener), received(wide, change(records=["001B", "001C"])))

    with CaptureQueriesContext(connection) as queries:
        assert run_deliveries(ids_of(), "tests.told_of_all") == "22 succeeded"

    both = [(one, tuple(RECORDS)) for one in RECORDS]
    assert told == [*both, ("001B", ("001B", "001C")), ("001C", ("001B", "001C"))]
    table = AuditLogEntry._meta.db_table
    asked = [query["sql"] for query in queries if f'"{table}"."transaction_key" = ' in query["sql"]]
    assert len(asked) == 2
