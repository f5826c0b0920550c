"""A mirror of Account, for tests of handlers that run after it."""

from django.utils import timezone

from consumer.ingest.transaction import ingest
from handlers.models import Delivery, HandlerMapping
from handlers.models.mapping import MIRROR_HANDLER
from mirror.models import DirtyRow
from tests.mirror.adding import add, in_sync
from tests.mirror.crm.models import Account
from tests.running import run_delivery
from tests.sample_data import change, lease_of, make_mapping, received

RECORD = "001000000000001AAA"
LATE = 1_900_000_000_000
MIRROR, AFTER = {"handler": MIRROR_HANDLER}, {"mapping__after": "mirror"}
#: The state and `awaits_mirror` of a delivery; `BEHIND` waits for an earlier one of its chain.
WAITING, RELEASED, BEHIND = ("blocked", True), ("queued", False), ("blocked", False)


def make_mirror(listener, model="crm.Account", *, is_loaded=True):
    """Add a mirror; its first load has ended, unless a test says otherwise."""
    mirror = add(listener, model)
    return in_sync(mirror) if is_loaded else mirror


def make_follower(listener, on="update", handler="tests.note_record", **fields):
    return make_mapping(listener, on, handler, after="mirror", **fields)


def record(listener, *messages):
    mappings = list(HandlerMapping.objects.filter(listener=listener))
    ingest(listener, lease_of(listener), received(*messages), mappings)


def make_row(**fields):
    row, _ = Account.all_objects.update_or_create(salesforce_id=RECORD, defaults=fields)
    return row


def followers():
    return list(Delivery.objects.filter(**AFTER).order_by("id"))


def states_of_followers():
    return [(one.state, one.awaits_mirror) for one in followers()]


def end_mirror(state="succeeded", **of):
    """End the mirror's deliveries, as a worker does, without a release."""
    now = timezone.now()
    rows = Delivery.objects.filter(**MIRROR, **of)
    rows.update(state=state, finished_at=now, queued_at=None, attempts=1)


def entries_of(*deliveries):
    return [delivery.entry_id for delivery in deliveries]


def run_followers():
    """Run the deliveries that follow the mirror as one worker would, until none is ready."""
    ready = Delivery.objects.filter(state__in=("ready", "queued"), **AFTER).order_by("id")
    while delivery := ready.first():
        run_delivery(delivery.pk)


def update(**fields):
    return change("UPDATE", data={"Phone": "42"}, **fields)


def dirty(mirror, since=LATE, record_id=RECORD):
    return DirtyRow.objects.create(
        mirror=mirror,
        record_id=record_id,
        since=since,
        complete_until=since,
        reason="partial",
        due_at=timezone.now(),
    )
