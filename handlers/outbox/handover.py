"""Hands a batch's deliveries to the broker without updating each delivery's row.

The deliveries are committed as queued, together with one `Handover` row that says that the broker
may not have them yet. The process that publishes them deletes that row. After a crash or a broker
outage the relay finds the row, makes the deliveries ready and publishes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, Func

from audit.db.bulk_insert import insert
from audit.db.prepared import Param, Prepared, delete_query
from audit.models import AuditLogEntry
from handlers import tracing
from handlers.models import Delivery, HandlerMapping, Handover
from handlers.models.delivery_queryset import DeliveryQuerySet
from handlers.outbox import publish as outbox
from handlers.outbox.create import can_begin, late_matches, plan_deliveries
from handlers.outbox.message_size import look_into
from handlers.routing.saves import Saves, earlier_parts, needing_saves, saves_among
from handlers.types import Message
from listeners import crash_points
from listeners.models import Position

State = Delivery.State
#: A delivery that is still ready this long after its change was received was not published by the
#: process that committed it, so the relay publishes it.
READY_AGE = timedelta(seconds=5)


@dataclass(slots=True)
class DeliveriesToPublish:
    """A batch's deliveries that can start.

    messages   the messages of the deliveries committed as queued
    handovers  ids of the `Handover` rows of those deliveries
    ready      ids of the other deliveries, which are ready
    """

    messages: list[Message] = field(default_factory=list)
    handovers: list[int] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)

    def add(self, other: DeliveriesToPublish) -> None:
        self.messages += other.messages
        self.handovers += other.handovers
        self.ready += other.ready

    @property
    def ids(self) -> list[int]:
        """The ids of all deliveries."""
        return [*(pk for message in self.messages for pk in message.ids), *self.ready]

    def __len__(self) -> int:
        return sum(len(message.ids) for message in self.messages) + len(self.ready)


def deliver_batch(
    entries: Sequence[AuditLogEntry],
    mappings: Sequence[HandlerMapping],
    now: datetime,
    *,
    gap_policy: str,
    position: Position,
) -> DeliveriesToPublish:
    """Insert a delivery for each entry and matching mapping, and hand over those that can start.

    Inside the caller's transaction, as for `create.deliver`. Entries of earlier batches whose saves
    continue in this one are delivered too, if a mapping matches them only now.
    """
    begun, saves = _saves(entries, mappings)
    deliveries = plan_deliveries(
        entries,
        mappings,
        gap_policy=gap_policy,
        position=position,
        saves=saves,
        late_matches=late_matches(begun, mappings, saves),
    )
    bundles = _queue(deliveries, mappings, now)
    insert(deliveries)
    ready = [delivery.pk for delivery in deliveries if can_begin(delivery)]
    if not bundles:
        return DeliveriesToPublish(ready=ready)
    messages = [_message(bundle) for bundle in bundles]
    ids = [pk for message in messages for pk in message.ids]
    [handover] = insert([Handover(first_id=min(ids), last_id=max(ids), queued_at=now)])
    return DeliveriesToPublish(messages, [handover.pk], ready)


def _saves(
    entries: Sequence[AuditLogEntry], mappings: Sequence[HandlerMapping]
) -> tuple[list[AuditLogEntry], Saves]:
    """Return the entries of earlier batches whose saves continue in this one, and all saves."""
    if not entries or not needing_saves(mappings):
        return [], {}
    begun = earlier_parts(entries)
    return begun, saves_among([*begun, *entries])


class _AsynchronousCommit(Func):
    """SQL that is always true and commits its transaction without waiting for the disk.

    A server crash may lose such a commit; then the published messages are published again.
    """

    output_field = BooleanField()

    def as_sql(self, *_: Any, **__: Any) -> tuple[str, Any]:
        return "1 = 1", []

    def as_postgresql(self, *_: Any, **__: Any) -> tuple[str, Any]:
        return "set_config('synchronous_commit', 'off', true) = 'off'", []


_DELETE_HANDOVERS = Prepared(
    lambda: delete_query(
        Handover.objects.filter(_AsynchronousCommit(), pk__among=Param("handovers"))
    )
)


def publish(to_publish: DeliveriesToPublish, now: datetime) -> int:
    """Publish a batch's deliveries and return their number. Never inside a transaction.

    Raises BrokerUnavailable; then the relay publishes them.
    """
    sent = sum(len(message.ids) for message in to_publish.messages)
    try:
        if to_publish.messages:
            outbox.send(to_publish.messages)
            crash_points.reach("sent")
            # One statement, because a slow broker may leave thousands of small batches.
            _DELETE_HANDOVERS.execute(handovers=to_publish.handovers)
            crash_points.reach("published")
    finally:  # other brokers may be up
        sent += outbox.publish(to_publish.ready, now)
    look_into(message.queue for message in to_publish.messages)  # after sending everything
    return sent


_OVERDUE = Prepared(
    lambda: Handover.objects.filter(queued_at__lt=Param("before")).values_list("pk")
)


def take_back(before: datetime) -> int:
    """Make ready the deliveries queued before `before` that may be missing from the broker.

    Returns their number. Locked rows are skipped, and their handover stays for the next call. Never
    inside a transaction.
    """
    count = 0
    for (pk,) in _OVERDUE.rows(before=before):
        with transaction.atomic(durable=True):
            handover = Handover.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
            if handover is not None:
                count += _unstarted(handover).update_unlocked(state=State.READY, queued_at=None)
                if not _unstarted(handover).exists():
                    handover.delete()
    return count


def _unstarted(handover: Handover) -> DeliveryQuerySet:
    """Return the handover's deliveries that have not started."""
    return Delivery.objects.filter(
        pk__range=(handover.first_id, handover.last_id),
        state=State.QUEUED,
        queued_at=handover.queued_at,
        attempts=0,
    )


def _queue(
    deliveries: Sequence[Delivery], mappings: Sequence[HandlerMapping], now: datetime
) -> list[list[Delivery]]:
    """Mark the deliveries that can start as queued, and return them grouped by message.

    External deliveries are left ready, because their message carries the event and needs a claim.
    """
    startable = [
        delivery for delivery in deliveries if can_begin(delivery) and not delivery.is_external
    ]
    limits = {mapping.pk: mapping.max_attempts for mapping in mappings}
    bundles = list(outbox.in_bundles(startable, limits, spare_full_queues=True))
    for bundle in bundles:
        for delivery in bundle:
            delivery.state, delivery.queued_at = State.QUEUED, now
    return bundles


def _message(deliveries: Sequence[Delivery]) -> Message:
    message = outbox.message_for(deliveries[0], [delivery.pk for delivery in deliveries])
    if tracing.spans is None:
        return message
    return replace(message, places=tracing.spans.places(deliveries))
