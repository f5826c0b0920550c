"""Changes, recorded as the product records what it receives: what handlers get is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import pytest
from django.utils import timezone

from audit.models import AuditLogEntry, Quarantined, Reconciliation
from consumer import completion
from consumer.ingest import Message, ingest
from consumer.reconciliation.evidence import Rule
from consumer.reconciliation.judging import Judge
from consumer.reconciliation.missing import Supplier
from consumer.reconciliation.rows import SECOND, Row
from handlers.events import EventData
from listeners.leases import Lease
from listeners.models import Listener, Position
from listeners.salesforce.records import RecordsRead
from listeners.salesforce.rest import RestClient
from pytest_cdc.changes import Change, Described, WrongChange

_HOLDER = "pytest-cdc"


class MakeEvent:
    """The fixture `cdc_event`."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def __call__(
        self,
        entity: str,
        on: str = "create",
        *,
        record_id: str = "",
        **said: Unpack[Described],
    ) -> EventData:
        """A change of one record, recorded in the audit log, as a handler gets it.

        on         create, update, delete or restore; or GAP_UPDATE and its like, which a handler
                   gets with `gap_policy: deliver`
        record_id  15 or 18 characters; a new record where it is not given

        The others: `pytest_cdc.changes.Described`. Raises WrongChange.
        """
        [event] = self.several([record_id] if record_id else [], entity, on, **said)
        return event

    def several(
        self,
        record_ids: Sequence[str],
        entity: str,
        on: str = "create",
        **said: Unpack[Described],
    ) -> list[EventData]:
        """The same change of several records in one event, one for each of them, in this order."""
        change = Change.of(entity, on, record_ids, said)
        entries = _recorded(self.listener, change)
        return [EventData.of(entry) for entry in entries]


def _recorded(listener: Listener, change: Change) -> list[AuditLogEntry]:
    if change.source == "reconcile":
        return _found_missing(listener, change)
    if change.source == "gap" and listener.gap_policy != Listener.GapPolicy.FETCH:
        raise WrongChange(
            f"the listener's gap_policy is {listener.gap_policy}: no record is read. Handlers get "
            f"the gap event itself, if anything: GAP_{change.change_type} without a source."
        )
    _receive(listener, change)
    if change.source == "gap":
        _complete(listener, change)
    entries = AuditLogEntry.objects.filter(
        listener=listener,
        transaction_key=change.transaction_key,
        sequence_number=change.sequence_number,
        entity_name=change.entity,
        change_type=change.change_type,
        record_id__in=change.record_ids,
    )
    return list(entries.select_related("listener__connection").order_by("id"))


def _receive(listener: Listener, change: Change) -> None:
    """As the listener does with what comes. No mapping gets it yet."""
    message = Message(change.message(listener.channel), timezone.now())
    result = ingest(listener, _lease(listener), [message], mappings=[])
    if result.quarantined:
        newest = Quarantined.objects.filter(listener=listener).order_by("-id").first()
        raise WrongChange(f"it cannot be recorded: {newest and newest.error}")
    if result.repeated:
        raise WrongChange(
            "that change was made before: a transaction's key and sequence number, the entity and "
            "the record are the same. Give it another sequence_number."
        )


def _lease(listener: Listener) -> Lease:
    if lease := Position.objects.acquire(listener.pk, _HOLDER):
        return lease
    position = Position.objects.get(listener=listener)
    return Lease(listener.pk, position.holder, position.epoch)


class _Org(RestClient):
    """Stands in for Salesforce's REST API: every record is the same, with fields that
    events carry."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def read_many(self, entity: str, ids: Sequence[str]) -> RecordsRead:
        body = self._change.body
        records = {pk: {"Id": pk, **body} for pk in ids}
        return RecordsRead(self._change.commit_ms + SECOND, records)

    def uncarried_fields(self, entity: str) -> set[str]:
        return set()


def _complete(listener: Listener, change: Change) -> None:
    """As a worker does, but for the reading."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(completion, "rest_of", lambda _: _Org(change))
        completion.complete(listener.pk)


def _found_missing(listener: Listener, change: Change) -> list[AuditLogEntry]:
    """As a comparison finds it, which asks for each record what became of it."""
    stamp = change.commit_ms // SECOND * SECOND
    is_deleted, is_new = change.change_type == "DELETE", change.change_type == "CREATE"
    start = change.committed_at if is_new else None
    job = Reconciliation(
        listener=listener,
        entity_name=change.entity,
        reason=Reconciliation.Reason.ASKED,
        window_start=start and start.replace(microsecond=0),
        window_end=timezone.now(),
    )
    rule = Rule(strict_from=None, lost_until=None, trusts_second=False)
    rows = [Row(pk, stamp, stamp, stamp, is_deleted) for pk in change.record_ids]
    before = AuditLogEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    org = _Org(change)
    Supplier(job, change.entity, Judge(job, change.entity, rule, org), org).supply(rows)
    entries = list(
        AuditLogEntry.objects.filter(listener=listener, id__gt=before)
        .select_related("listener__connection")
        .order_by("id")
    )
    found = {entry.change_type for entry in entries} or {"nothing: the log has it"}
    if found != {change.change_type}:
        raise WrongChange(
            f"a comparison finds {', '.join(found)}, not {change.change_type}: it goes by what is "
            "recorded. A restore is found after a delete, an update or a create after anything "
            "that does not tell the same."
        )
    return entries
