"""The relay: publishes committed deliveries that are due, and repairs what crashes left behind.

It runs in every listener process and as a beat task. Several relays at once do no harm: a worker
claims a delivery before it runs it, and each step here is a compare-and-swap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import Exists, Max, OuterRef, Q

from audit.db.prepared import Param, Prepared
from audit.internal_errors import step
from audit.jobs import tracked
from consumer.gaps import plan
from consumer.reconciliation import schedule
from handlers import broker, tracing
from handlers.dead_letters import halt
from handlers.external import apps, closed_queues
from handlers.mappings import pause, soft_delete
from handlers.mappings.retarget import move_left_behind
from handlers.models import Delivery, HandlerMapping, Handover
from handlers.models.delivery_queryset import HOLDS_CHAIN, DeliveryQuerySet
from handlers.ordering import rechain
from handlers.outbox import handover, publish
from handlers.outbox.message_size import MOST
from handlers.redelivery import job
from handlers.sdk import registry
from handlers.sdk.outcomes import Failed
from handlers.sdk.registry import queue_of
from handlers.tracking.overdue import adopt_orphans
from handlers.types import Claim, ClaimLost, Ended
from handlers.worker import metrics
from handlers.worker.settle import settle
from listeners import crash_points
from listeners.threads import FAILED, Step
from mirror import rounds

log = structlog.get_logger(__name__)

#: Time after which a queued delivery counts as lost where the length of its queue is unknown.
QUEUED_AGE_BLIND = timedelta(hours=1)
#: Queued this much earlier than a delivery that runs: several workers start messages out of order.
OVERTAKEN_AGE = timedelta(minutes=5)
LIMIT = 5000
LOST = "Worker crashed or stopped responding while running this handler"
#: The number of deliveries that a log line names.
NAMED = 10


def has_work(now: datetime) -> bool:
    """Return whether a delivery could be published now."""
    return (
        _publishable(Delivery.objects.ready()).exists()
        or _publishable(Delivery.objects.retry_due(now)).exists()
        or pause.has_resumed()
        or Handover.objects.exists()
    )


# Most rounds find nothing. These queries are compiled once, and `_publishable` depends on which
# destinations are down. The order is that of an index.
_ANY_UNPUBLISHED = Prepared(
    lambda: (
        Delivery.objects.unpublished(Param("before"))
        .order_by("mapping_id", "id")
        .values_list("pk")[:1]
    )
)
_ANY_RETRY = Prepared(
    lambda: Delivery.objects.retry_due(Param("now")).order_by("due_at").values_list("pk")[:1]
)


def publish_due(now: datetime, *, leaves_external: bool = False) -> int:
    """Publish ready deliveries that were not published, retries that are due, and deliveries of
    mappings that were resumed; return how many.

    Never inside a transaction. Raises BrokerUnavailable.
    """
    before = now - handover.READY_AGE
    handover.take_back(before)
    ids = pause.release_resumed(LIMIT)
    if _ANY_UNPUBLISHED.rows(before=before):
        unpublished = Delivery.objects.unpublished(before)
        ids += _first(_publishable(unpublished).order_by("mapping_id", "id"))
    if _ANY_RETRY.rows(now=now):
        ids += _first(_publishable(Delivery.objects.retry_due(now)).order_by("due_at"))
    ids = list(dict.fromkeys(ids))
    return publish.publish(ids, now, size=MOST, leaves_external=leaves_external)


def _first(deliveries: DeliveryQuerySet) -> list[int]:
    """Return the ids of the first deliveries: up to LIMIT of our handlers, of the tasks on our
    broker and of each destination, so that what waits for one of them holds up no other."""
    ids = list(deliveries.values_list("id", flat=True)[:LIMIT])
    if len(ids) < LIMIT:
        return ids
    own = deliveries.order_by().filter(mapping=OuterRef("pk"))
    places: defaultdict[tuple[bool, int | None], list[int]] = defaultdict(list)
    waiting = HandlerMapping.with_deleted.filter(Exists(own)).order_by("id")
    for mapping in waiting.only("task", "destination_id"):
        places[bool(mapping.task), mapping.destination_id].append(mapping.pk)
    return [
        pk
        for mappings in places.values()
        for mapping_id in mappings
        for pk in deliveries.filter(mapping=mapping_id).values_list("id", flat=True)[
            : -(-LIMIT // len(mappings))
        ]
    ]


def retarget(now: datetime) -> int:
    """Move deliveries that ran while their mapping was changed to another handler; return how many.

    Never inside a transaction.
    """
    waiting = (Delivery.objects.ready(), Delivery.objects.retry_due(now))
    return sum(move_left_behind(deliveries, now) for deliveries in waiting)


def reclaim(now: datetime) -> int:
    """Settle as lost the runs whose claim has expired, since their worker died or hangs; return how
    many."""
    reclaimed = 0
    overdue = Delivery.objects.overdue(now)
    with_related = overdue.select_related("mapping", "entry__listener")
    for delivery in with_related.order_by("claim_deadline")[:LIMIT]:
        claim = Claim(delivery, delivery.attempts, delivery.started_at or now)
        outcome = Failed(LOST, kind="lost")
        try:
            with transaction.atomic(durable=True):
                if not overdue.filter(pk=delivery.pk).select_for_update(skip_locked=True):
                    continue  # a worker that was only paused renewed the claim or is settling it
                settle(claim, outcome)
        except ClaimLost:
            continue  # the worker settled it after all
        except (DataError, IntegrityError):
            log.exception("cannot settle a lost run", delivery=delivery.pk)
            continue  # one broken row must not block the others
        ended = Ended(claim, outcome, claim.started_at, now)
        metrics.settled([ended])
        if tracing.spans is not None:
            tracing.spans.lost(ended)
        reclaimed += 1
    return reclaimed


def promote_stranded() -> int:
    """Make the first delivery of a chain ready where no earlier delivery holds the chain; return
    how many."""
    holders = Delivery.objects.filter(HOLDS_CHAIN, chain=OuterRef("chain"))
    awaiting = Delivery.objects.filter(
        Q(awaits_record=True) | Q(awaits_mirror=True),
        state=Delivery.State.BLOCKED,  # for the index
        chain=OuterRef("chain"),
    )
    chains = (
        Delivery.objects.filter(
            ~Exists(holders),
            ~Exists(awaiting.filter(pk__lt=OuterRef("pk"))),
            state=Delivery.State.BLOCKED,
            awaits_record=False,
            awaits_mirror=False,
        )
        .order_by()
        .values_list("chain", flat=True)
        .distinct()[:LIMIT]
    )
    promoted = 0
    for chain in list(chains):
        try:
            with transaction.atomic(durable=True):
                promoted += len(Delivery.objects.promote([chain]))
                crash_points.reach("promoted")
        except IntegrityError:
            continue  # another process promoted it first
    return promoted


def requeue_lost(now: datetime) -> int:
    """Publish again the deliveries whose messages the broker lost; return how many.

    A message counts as lost when its delivery has been queued for CDC_QUEUED_SECONDS and the queue
    is empty; or, in a queue that is never empty, when deliveries run that were queued long after
    it. Deliveries that workers refused, since they do not know the handler, first move to their
    mapping's current handler. Never inside a transaction. Raises BrokerUnavailable.
    """
    old = Delivery.objects.queued_before(now - timedelta(seconds=settings.CDC_QUEUED_SECONDS))
    ids: list[int] = []
    for queue, in_queue in _queues_of(old).items():
        match broker.queue_length(queue):
            case 0:
                lost = old
            case None:
                lost = Delivery.objects.queued_before(now - QUEUED_AGE_BLIND)
            case _:
                lost = _overtaken(old, in_queue)
        rows = lost.filter(in_queue).order_by("queued_at", "id")
        ids += rows.values_list("id", flat=True)[:LIMIT]
    if not ids:
        return 0
    move_left_behind(Delivery.objects.filter(state=Delivery.State.QUEUED, pk__in=ids), now)
    published = publish.publish(ids, now)
    if published:
        _log_requeued(ids, published)
    return published


def _overtaken(queued: DeliveryQuerySet, in_queue: Q) -> DeliveryQuerySet:
    """Return the deliveries that were queued long before one of the same queue that runs now.

    Workers take a queue's messages in their order, so the messages of these are not in it.
    """
    running = Delivery.objects.filter(in_queue, state=Delivery.State.RUNNING)
    newest = running.aggregate(newest=Max("queued_at"))["newest"]
    return queued.none() if newest is None else queued.filter(queued_at__lt=newest - OVERTAKEN_AGE)


def _queues_of(deliveries: DeliveryQuerySet) -> dict[str, Q]:
    """Return the queues that these deliveries were sent to, each with the filter for its
    deliveries."""
    queues: dict[str, Q] = {}
    for queue, handler in deliveries.order_by().values_list("queue", "handler").distinct():
        name = queue_of(handler, queue)
        queues[name] = queues.get(name, Q()) | Q(queue=queue, handler=handler)
    return queues


def _log_requeued(ids: Sequence[int], published: int) -> None:
    rows = list(
        Delivery.objects.filter(pk__in=ids[:NAMED])
        .order_by("id")
        .values_list("pk", "handler", "entry__record_id", "entry__listener__name")
    )
    about = zip(
        ("delivery", "handler", "record", "listener"), zip(*rows, strict=True), strict=False
    )
    noun, was = ("delivery", "message was") if published == 1 else ("deliveries", "messages were")
    log.warning(
        f"re-queued {published} {noun} whose {was} missing from the broker",
        **{name: ", ".join(map(str, dict.fromkeys(values))) for name, values in about},
    )


def _part(name: str, work: Callable[..., object], consequence: str) -> Step:
    return step(f"relay: {name}", work, consequence, expected=(broker.BrokerUnavailable,))


#: The parts of the relay that run each second. Each fails alone. Called with the time; never inside
#: a transaction.
DUE: Sequence[Step] = (
    _part(
        "publish",
        publish_due,
        "Retries, and deliveries that a crash left unpublished, are not published.",
    ),
    _part("start reconciliations", schedule.start_due, "Reconciliations are not started."),
    _part("start redeliveries", job.start_due, "Redeliveries are not started."),
    _part(
        "follow edits",
        lambda now: rechain.move_on(),
        "Deliveries that waited when their mapping was edited do not follow it.",
    ),
    *rounds.DUE,
)
#: The repairs, which are needed less often, in their order.
REPAIRS: Sequence[Step] = (
    _part(
        "move deliveries",
        retarget,
        "Deliveries that ran while their mapping was changed are not moved to its handler.",
    ),
    _part("reclaim", reclaim, "Deliveries whose worker died are not retried."),
    _part(
        "release halted chains",
        lambda now: halt.release_changed(),
        "Records whose mapping no longer halts at a dead letter are not released.",
    ),
    _part(
        "skip deleted mappings",
        soft_delete.skip_waiting,
        "Waiting deliveries of deleted mappings are not skipped.",
    ),
    _part(
        "release stranded deliveries",
        lambda now: promote_stranded(),
        "Deliveries that a crash left blocked are not released.",
    ),
    _part(
        "publish lost messages",
        requeue_lost,
        "Deliveries whose messages the broker lost are not published again.",
    ),
    _part(
        "adopt external tasks",
        lambda now: adopt_orphans(),
        "External tasks of deleted destinations do not end.",
    ),
    _part("read records of gaps", plan.start_due, "Records of gap events are not read."),
    _part("end lost jobs", tracked.mark_lost, "Jobs whose process died are not shown as lost."),
    _part(
        "forget deleted mappings",
        lambda now: soft_delete.forget(),
        "Deleted mappings without deliveries are not removed.",
    ),
    *rounds.REPAIRS,
)


def run_due(now: datetime, *, leaves_external: bool = False) -> bool:
    """Publish the deliveries and start the jobs that are due; return whether all parts succeeded.

    With `leaves_external`, tasks for other brokers are left to another process. Never inside a
    transaction.
    """
    publishing, *others = DUE
    results = [publishing(now, leaves_external=leaves_external), *(part(now) for part in others)]
    return FAILED not in results


def sweep(now: datetime) -> None:
    """Run all repairs. Never inside a transaction."""
    for repair in REPAIRS:
        repair(now)


def _publishable(deliveries: DeliveryQuerySet) -> DeliveryQuerySet:
    """Leave out deliveries whose handler is not registered, and those whose destination was down or
    whose queue took no tasks a moment ago: they wait, and must not fill the place of others."""
    can_be_sent = deliveries.filter(Q(is_external=True) | Q(handler__in=registry.names()))
    if unreachable := apps.unreachable():
        mappings = HandlerMapping.with_deleted.filter(destination__in=unreachable).values("pk")
        can_be_sent = can_be_sent.exclude(is_external=True, mapping__in=mappings)
    for destination, queue in closed_queues.closed():
        mappings = HandlerMapping.with_deleted.filter(destination=destination).values("pk")
        can_be_sent = can_be_sent.exclude(is_external=True, queue=queue, mapping__in=mappings)
    return can_be_sent
