"""The change as a handler sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from handlers.routing.field_paths import ABSENT, overlap, value_at
from listeners.salesforce.diffs import diff_names, nulled_names

if TYPE_CHECKING:
    from audit.models import AuditLogEntry
    from listeners.models import Listener


@dataclass(frozen=True, slots=True)
class Metadata:
    """The change event's header. `commit_timestamp` is in milliseconds since 1970, UTC.

    `nulled_fields` and `diff_fields` are the header's. The Streaming API does not send them: there
    they are what the body shows. `changed_fields` is None where it was not sent, and all three are
    None for a record that was read over REST. `extra` has the header's other fields, under the
    names that Salesforce gives them.
    """

    entity_name: str
    change_type: str
    change_origin: str
    transaction_key: str
    sequence_number: int
    commit_timestamp: int
    commit_number: int | None
    commit_user: str
    record_id: str
    record_ids: tuple[str, ...]
    changed_fields: tuple[str, ...] | None
    nulled_fields: tuple[str, ...] | None
    diff_fields: tuple[str, ...] | None
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, entry: AuditLogEntry) -> Metadata:
        """Return the metadata of an audit entry."""
        return cls(
            entity_name=entry.entity_name,
            change_type=entry.change_type,
            change_origin=entry.change_origin,
            transaction_key=entry.transaction_key,
            sequence_number=entry.sequence_number,
            commit_timestamp=entry.commit_timestamp,
            commit_number=entry.commit_number,
            commit_user=entry.commit_user,
            record_id=entry.record_id,
            record_ids=entry.record_ids(),
            changed_fields=_tuple(entry.changed_fields),
            nulled_fields=_told(entry, entry.nulled_fields, nulled_names),
            diff_fields=_told(entry, entry.diff_fields, diff_names),
            extra=entry.header_extra or {},
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "entityName": self.entity_name,
            "changeType": self.change_type,
            "changeOrigin": self.change_origin,
            "transactionKey": self.transaction_key,
            "sequenceNumber": self.sequence_number,
            "commitTimestamp": self.commit_timestamp,
            "commitNumber": self.commit_number,
            "commitUser": self.commit_user,
            "recordId": self.record_id,
            "recordIds": list(self.record_ids),
            "changedFields": _list(self.changed_fields),
            "nulledFields": _list(self.nulled_fields),
            "diffFields": _list(self.diff_fields),
            "extra": self.extra,
        }


@dataclass(frozen=True, slots=True)
class Present:
    """What a handler gets in place of what was recorded, where later changes of the record have
    overtaken it."""

    changed_data: dict[str, Any]
    superseded_fields: tuple[str, ...]

    def nulled_among(self, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The fields that are null now. `names`: those that the recorded change names so, or None
        where it does not say."""
        if names is None:
            return None
        data = self.changed_data
        kept = [name for name in names if value_at(data, name) in (None, ABSENT)]
        null = [path for path in self.superseded_fields if value_at(data, path) is None]
        return tuple(dict.fromkeys([*kept, *null]))

    def diffs_among(self, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The same of the fields that are diffs: what was replaced is none any more."""
        if names is None:
            return None
        replaced = self.superseded_fields
        return tuple(n for n in names if not any(overlap(n, path) for path in replaced))


@dataclass(frozen=True, slots=True)
class EventData:
    """One change of one record.

    `id` is the audit entry's, the same for every attempt: use it as an idempotency key.
    `attempt` counts from 1. `options` are the handler mapping's. `superseded_fields` names the
    fields whose recorded values later changes of the record have replaced: `changed_data` has their
    values as they are now. Parts of compound fields are named as `BillingAddress.City`.
    """

    id: int
    listener: str
    replay_id: str
    changed_data: dict[str, Any]
    metadata: Metadata
    attempt: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    superseded_fields: tuple[str, ...] = ()
    _heard_by: Listener | None = field(default=None, repr=False, compare=False)

    def __hash__(self) -> int:
        """Its dicts have none; what is equal has the same id."""
        return hash((self.listener, self.id))

    @classmethod
    def of(
        cls,
        entry: AuditLogEntry,
        *,
        attempt: int = 1,
        options: dict[str, Any] | None = None,
        present: Present | None = None,
    ) -> EventData:
        """The event of an audit entry, whose listener is loaded. `present`: its fields as they are
        now, where later changes have overtaken it."""
        metadata = Metadata.of(entry)
        if present is not None:
            metadata = replace(
                metadata,
                nulled_fields=present.nulled_among(metadata.nulled_fields),
                diff_fields=present.diffs_among(metadata.diff_fields),
            )
        return cls(
            id=entry.pk,
            listener=entry.listener.name,
            replay_id=entry.replay_id,
            changed_data=(present or entry).changed_data,
            metadata=metadata,
            attempt=attempt,
            options=options or {},
            superseded_fields=present.superseded_fields if present else (),
            _heard_by=entry.listener,
        )

    @property
    def salesforce(self) -> Any:
        """A ready REST client of the org that the change came from, a
        `simple_salesforce.Salesforce` (whose own types know no record types, hence none here):
        `event.salesforce.Account.get(event.metadata.record_id)`.

        It shares the connection's token, which is renewed as needed. What it writes comes back as
        a change with `client=salesforce-cdc` in its origin: a mapping's `ignore_origins` leaves
        that out. Raises simple_salesforce's exceptions, and `LoginRefused` or `LoginUnavailable`.
        """
        # Imported by who calls back: handler modules are read before the apps are ready, and a
        # SOAP library comes with it.
        from audit.incidents.login import report
        from listeners.connections.handler_clients import client_for

        if self._heard_by is None:
            raise RuntimeError("this event came from no listener: it has no org to call back")
        return client_for(self._heard_by, report)

    def to_dict(self) -> dict[str, Any]:
        """The camelCase form, as it is posted and sent to tasks that run elsewhere."""
        return {
            "id": self.id,
            "listener": self.listener,
            "replayId": self.replay_id,
            "attempt": self.attempt,
            "changedData": self.changed_data,
            "metadata": self.metadata.to_dict(),
            "supersededFields": list(self.superseded_fields),
        }


def _told(
    entry: AuditLogEntry,
    sent: list[str] | None,
    found: Callable[[Mapping[str, Any], list[str] | None], tuple[str, ...]],
) -> tuple[str, ...] | None:
    """The nulls of a record that was read are not fields that were cleared."""
    if sent is None and entry.source != "stream":
        return None
    return found(entry.changed_data, sent)


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _list(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
