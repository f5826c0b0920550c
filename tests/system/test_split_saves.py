"""A bulk save that Salesforce sends as several events is handled as one save."""

import pytest

from audit.models import AuditLogEntry
from handlers.models import Delivery, HandlerMapping
from tests.sample_data import listener_of, make_mapping
from tests.sample_handlers import read_journal
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

RECORDS = 150  # one event of all, and one of each: more than one answer of the Pub/Sub API has
#: Each leaf is about a field of another event.
CONDITION = {
    "all": [
        {"field": "Industry", "changed_to": "Apparel"},
        {"field": "Phone", "exists": True},
    ]
}


@pytest.fixture
def simulator():
    options = ("--connect-timeout", "2", "--grpc-keep-alive", "1")
    with SimulatorProcess(*options, grpc=True) as org:
        yield org


@pytest.mark.parametrize("transport", ["cometd", "pubsub"])
def test_its_handler_gets_every_event_of_each_record_in_order(
    processes, simulator, transactional_db, transport
):
    fields = {"transport": transport, "pubsub_endpoint": simulator.grpc_endpoint}
    listener = listener_of(simulator, **(fields if transport == "pubsub" else {}))
    HandlerMapping.objects.all().delete()
    make_mapping(listener, "update", condition=CONDITION)
    records = simulator.create("Account", *[{"Name": f"A{n}"} for n in range(RECORDS)])
    simulator.change(
        {
            "op": "update",
            "entity": "Account",
            "record_ids": records,
            "fields": {"Industry": "Apparel"},
        },
        *[_own(record_id, number) for number, record_id in enumerate(records)],
    )
    processes.worker()

    processes.listener(CDC_BATCH_MAX="40")  # stays: its relay publishes what is left ready

    succeeded = Delivery.objects.filter(state="succeeded")
    wait_for(lambda: succeeded.count() == 2 * RECORDS)
    updates = AuditLogEntry.objects.filter(change_type="UPDATE")
    without_date = [one for one in updates if "LastModifiedDate" not in one.changed_data]
    assert (updates.count(), len(without_date)) == (2 * RECORDS, RECORDS)
    assert len(set(updates.values_list("transaction_key", flat=True))) == 1
    handled = [line["id"] for line in read_journal()]
    assert sorted(handled) == sorted(updates.values_list("pk", flat=True))
    shared = updates.filter(sequence_number=1).values_list("pk", "record_id")
    own = dict(updates.exclude(sequence_number=1).values_list("record_id", "pk"))
    assert all(handled.index(pk) < handled.index(own[record]) for pk, record in shared)


def _own(record_id, number):
    return {
        "op": "update",
        "entity": "Account",
        "record_ids": [record_id],
        "fields": {"Phone": str(number)},
        "separate_fields": ["Phone"],
    }
