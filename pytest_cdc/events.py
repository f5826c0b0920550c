"""The event factory: builds a change as Salesforce sends it, and records it as the listener
does."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from audit.models import AuditLogEntry, Quarantined
from consumer.ingest.transaction import Message, ingest
from handlers.routing.router import GAPS, ON
from handlers.sdk.events import EventData
from handlers.sdk.mirrored import Key
from listeners.leases import Lease
from listeners.models import Listener, Position

_CHANGE_TYPES = {on: change_type for change_type, on in ON.items()}
_PREFIXES = {"Account": "001", "Contact": "003", "Opportunity": "006", "Case": "500", "User": "005"}
_USER = "005000000000001AAA"
_numbers = itertools.count(1)
_NOT_GIVEN: Any = object()


class GivenRows(dict[Key, Any]):
    """The rows that tests give, in place of the mirrors'."""

    def rows(self, _: int, entity: str, record_ids: Collection[str]) -> dict[str, Any]:
        return {pk: self[entity, pk] for pk in record_ids if self.get((entity, pk)) is not None}

    def unread(self, *_: Any) -> set[str]:
        return set()

    def unloaded(self) -> dict[tuple[int, str], bool]:
        return {}


class MakeEvent:
    """The fixture `cdc_event`: makes and records changes."""

    def __init__(self, listener: Listener, rows: GivenRows) -> None:
        self._listener = listener
        self._rows = rows

    def __call__(
        self,
        entity: str,
        on: str = "create",
        *,
        record_id: str = "",
        changed: Mapping[str, Any] | None = None,
        record: Any = _NOT_GIVEN,
        **header: Any,
    ) -> EventData:
        """Record one change of one record in the audit log, and return its event.

        on         create, update, delete or restore; or a gap event, such as GAP_UPDATE
        record_id  18 characters; empty: a new record
        changed    the fields and their values, as in `changed_data`; None is a cleared field
        record     the mirrored row that `event.record` returns, or None for no row; the change is
                   then delivered after the mirror
        header     fields of the change event's header by Salesforce's names, such as
                   `changeOrigin`, instead of their defaults; None omits the field

        Raises ValueError for a change that cannot be recorded.
        """
        change_type = _CHANGE_TYPES.get(on, on)
        record_id = record_id or new_record_id(entity)
        entry = self._record(payload(entity, change_type, record_id, changed, header))
        if record is _NOT_GIVEN:
            return EventData.of(entry)
        self._rows[entity, record_id] = record
        return EventData.of(entry, row=lambda: record)

    def _record(self, payload: dict[str, Any]) -> AuditLogEntry:
        """Record the change without deliveries: `cdc_deliver` creates them."""
        event = {"replayId": next(_numbers), "EventUuid": str(uuid.uuid4())}
        data = {"channel": self._listener.channel, "data": {"payload": payload, "event": event}}
        message = Message(data, timezone.now())
        result = ingest(self._listener, self._lease(), [message], mappings=[])
        if result.quarantined:
            raise ValueError(Quarantined.objects.latest("id").error)
        if result.repeated:
            raise ValueError("This change is already recorded; give it another sequenceNumber.")
        entries = AuditLogEntry.objects.filter(listener=self._listener)
        entry: AuditLogEntry = entries.select_related("listener__connection").latest("id")
        return entry

    def _lease(self) -> Lease:
        if leases := Position.objects.acquire([self._listener.pk], "pytest-cdc"):
            return leases[0]
        position = Position.objects.get(listener=self._listener)
        return Lease(self._listener.pk, position.holder, position.epoch)


def payload(
    entity: str,
    change_type: str,
    record_id: str,
    changed: Mapping[str, Any] | None,
    header: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the change event as Salesforce sends it. Raises ValueError."""
    if change_type not in ON | GAPS:
        kinds = ", ".join([*_CHANGE_TYPES, *GAPS])
        raise ValueError(
            f"Handlers do not receive changes of type {change_type!r}. Use one of {kinds}."
        )
    if change_type == "UPDATE" and not changed:
        raise ValueError(
            'An update needs changed fields; add some, such as changed={"Name": "New"}.'
        )
    defaults = _header(entity, change_type, record_id)
    if unknown := header.keys() - defaults.keys():
        names = ", ".join(sorted(unknown))
        raise ValueError(f"Unknown header fields: {names}. Use some of {', '.join(defaults)}.")
    body = _body(change_type, changed or {}, defaults | dict(header))
    lists = _lists(body) if change_type == "UPDATE" else {}
    known = {**defaults, **lists, **header}
    return {
        **body,
        "ChangeEventHeader": {name: value for name, value in known.items() if value is not None},
    }


def new_record_id(entity: str) -> str:
    """Return a new id of 18 characters. The suffix AAA means that it has no capital letters."""
    return f"{_PREFIXES.get(entity, 'a00')}{next(_numbers):012d}AAA"


def _header(entity: str, change_type: str, record_id: str) -> dict[str, Any]:
    return {
        "entityName": entity,
        "recordIds": [record_id],
        "changeType": change_type,
        "changeOrigin": "com/salesforce/api/rest/67.0",
        "transactionKey": str(uuid.uuid4()),
        "sequenceNumber": 1,
        "commitTimestamp": round(datetime.now(UTC).timestamp() * 1000),
        "commitNumber": 10_826_208_028_536 + next(_numbers),
        "commitUser": _USER,
        "changedFields": [],
        "nulledFields": [],
        "diffFields": [],
    }


def _body(
    change_type: str, changed: Mapping[str, Any], header: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of the change, with the system fields that Salesforce adds."""
    if change_type not in ("CREATE", "UPDATE", "UNDELETE"):
        return dict(changed)
    committed_at = datetime.fromtimestamp(header["commitTimestamp"] // 1000, UTC)
    now, user = f"{committed_at:%Y-%m-%dT%H:%M:%SZ}", header["commitUser"]
    if change_type == "UPDATE":
        return {"LastModifiedDate": now, **changed}
    system = {"CreatedDate": now, "CreatedById": user}
    return {**system, "LastModifiedDate": now, "LastModifiedById": user, **changed}


def _lists(body: Mapping[str, Any]) -> dict[str, list[str]]:
    named = list(_named(body))
    return {
        "changedFields": [name for name, _ in named],
        "nulledFields": [name for name, value in named if value is None],
        "diffFields": [name for name, value in named if _is_diff(value)],
    }


def _named(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields as the header names them: a compound field by its components."""
    for name, value in body.items():
        if isinstance(value, Mapping) and not _is_diff(value):
            yield from ((f"{name}.{part}", part_value) for part, part_value in value.items())
        else:
            yield name, value


def _is_diff(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"diff"}
