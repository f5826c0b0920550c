"""Records changes of accounts, and delivers them to a mirror."""

import itertools
from datetime import UTC, datetime, timedelta

from consumer.ingest.transaction import ingest
from handlers.models import Delivery
from handlers.worker.run import run_deliveries
from tests.mirror.adding import add, in_sync
from tests.sample_data import change, lease_of, received

ACME = "001000000000001AAA"
#: A second on Salesforce's clock, ms since 1970.
START = 1_790_000_000_000
ACCOUNT = {
    **dict.fromkeys(("Name", "Phone", "Industry", "Rating"), "string"),
    **dict.fromkeys(("BillingCity", "BillingStreet"), "string"),
    **{"Id": "id", "BillingAddress": "address", "Description": "textarea", "OwnerId": "reference"},
    **{"AnnualRevenue": "currency", "NumberOfEmployees": "int"},
    **dict.fromkeys(("LastModifiedDate", "CreatedDate"), "datetime"),
}
_keys = itertools.count(1)


def a_mirror(listener, model="crm.Account", described=None, **fields):
    mirror = in_sync(add(listener, model, **fields))
    mirror.described = described or ACCOUNT
    mirror.save()
    return mirror


def time_of(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def written(milliseconds: int) -> str:
    """Return a time as the Streaming API writes it, in whole seconds."""
    return f"{time_of(milliseconds // 1000 * 1000):%Y-%m-%dT%H:%M:%S}.000Z"


def event(kind="UPDATE", at=0, records=(ACME,), *, version=None, entity="Account", **fields):
    """Return a change committed `at` ms after START, saved at the same time unless `version` is
    given."""
    modified = START + (at if version is None else version)
    data = {} if kind == "DELETE" else {"LastModifiedDate": written(modified), **fields}
    header = {"commitTimestamp": START + at, "sequence": fields.pop("sequence", 1)}
    header |= {key: fields.pop(key) for key in ("diffFields", "nulledFields") if key in fields}
    return change(kind, records, entity=entity, data=data, transaction=f"t{next(_keys)}", **header)


def record(listener, *events):
    return ingest(listener, lease_of(listener), received(*events))


def run_all(handler="mirror.apply"):
    """Run the deliveries as workers do, until none is left that can run."""
    outcomes = []
    while ids := list(
        Delivery.objects.filter(handler=handler, state__in=("ready", "queued", "retrying"))
        .order_by("id")
        .values_list("pk", flat=True)
    ):
        Delivery.objects.filter(pk__in=ids).update(state="queued", due_at=None)
        outcomes.append(run_deliveries(ids, handler))
        if "failed" in outcomes[-1] or "not claimed" in outcomes[-1]:
            break
    return outcomes


def apply(listener, *events):
    record(listener, *events)
    return run_all()
