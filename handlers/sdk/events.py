"""The change event that a handler receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from handlers.rules.field_paths import ABSENT, overlap, value_at
from handlers.sdk.mirrored import NoRecord
from listeners.salesforce.diffs import diff_names, nulled_names

if TYPE_CHECKING:
    from audit.models import AuditLogEntry
    from listeners.models import Listener


@dataclass(frozen=True, slots=True)
class Metadata:
    """The change event's header. `commit_timestamp` is in milliseconds since 1970, UTC.

    `nulled_fields` and `diff_fields` come from the header. The Streaming API does not send them, so
    there they are derived from the body. `changed_fields` is None if Salesforce did not send it,
    and all three are None for a record that was read over REST. `extra` has the header's other
    fields, under Salesforce's names.
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
        """Return the metadata of an audit log entry."""
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
            nulled_fields=_names(entry, entry.nulled_fields, nulled_names),
            diff_fields=_names(entry, entry.diff_fields, diff_names),
            extra=to_builtins(entry.header_extra or {}),
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
    """The present values that a handler gets instead of the recorded ones, where later changes of
    the record have overtaken the recorded change."""

    changed_data: dict[str, Any]
    superseded_fields: tuple[str, ...]

    def nulled_among(self, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Return the fields that are null now, or None if `names` is None.

        `names` are the fields that the recorded change names as nulled.
        """
        if names is None:
            return None
        data = self.changed_data
        kept = [name for name in names if value_at(data, name) in (None, ABSENT)]
        null = [path for path in self.superseded_fields if value_at(data, path) is None]
        return tuple(dict.fromkeys([*kept, *null]))

    def diffs_among(self, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Return the fields that are still diffs, or None if `names` is None.

        `names` are the fields that the recorded change names as diffs. A replaced field has its
        whole value, so it is not a diff any more.
        """
        if names is None:
            return None
        replaced = self.superseded_fields
        return tuple(n for n in names if not any(overlap(n, path) for path in replaced))


@dataclass(frozen=True, slots=True)
class EventData:
    """One change of one record.

    `id` is the audit log entry's id and the same for every attempt: use it as an idempotency key.
    `attempt` counts from 1. `options` are the handler mapping's. `superseded_fields` names the
    fields that later changes of the record have replaced; `changed_data` has their present values.
    Parts of compound fields are named like `BillingAddress.City`.
    """

    id: int
    listener: str
    replay_id: str
    changed_data: dict[str, Any]
    metadata: Metadata
    attempt: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    superseded_fields: tuple[str, ...] = ()
    _source: Listener | None = field(default=None, repr=False, compare=False)
    _row: Callable[[], Any] | None = field(default=None, repr=False, compare=False)

    def __hash__(self) -> int:
        """Hash the identity: the dicts have no hash, and equal events have the same id."""
        return hash((self.listener, self.id))

    @classmethod
    def of(
        cls,
        entry: AuditLogEntry,
        *,
        attempt: int = 1,
        options: dict[str, Any] | None = None,
        present: Present | None = None,
        row: Callable[[], Any] | None = None,
    ) -> EventData:
        """Return the event of an audit log entry whose listener is loaded, with its own copies of
        the data: a handler may change them, and other calls share the entry and the options.

        `present` has the fields' present values, if later changes have overtaken this one. `row`
        reads the mirrored row, if the handler runs after the mirror.
        """
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
            changed_data=to_builtins((present or entry).changed_data),
            metadata=metadata,
            attempt=attempt,
            options=to_builtins(options or {}),
            superseded_fields=present.superseded_fields if present else (),
            _source=entry.listener,
            _row=row,
        )

    @property
    def has_record(self) -> bool:
        """Whether the handler runs after the mirror, so that `record` can be used."""
        return self._row is not None

    @property
    def record(self) -> Any:
        """The mirrored row of the record, with `after: mirror`: an instance of the mirrored model,
        read when the handler first asks for it, and at least as new as the change.

        It is the tombstone (`is_deleted`) of a deleted record, and None if there is no row or no
        mirror of the entity. Raises `NoRecord` if the mapping does not run after the mirror.
        """
        if self._row is None:
            raise NoRecord(
                "event.record needs a mapping that runs after the mirror. Set `after: mirror` in "
                f"the mapping of this handler (entity {self.metadata.entity_name})."
            )
        return self._row()

    @property
    def salesforce(self) -> Any:
        """A ready REST client for the org that the change came from, a
        `simple_salesforce.Salesforce` (typed as Any, because its types know no record types):
        `event.salesforce.Account.get(event.metadata.record_id)`.

        The client shares the connection's token and renews it as needed. Its writes come back as
        changes with `client=salesforce-cdc` in their origin, which a mapping's `ignore_origins` can
        leave out. Raises simple_salesforce's exceptions, and `LoginRefused` or `LoginUnavailable`.
        """
        # Imported on the first use: handler modules are imported before the apps are ready, and
        # simple_salesforce brings a SOAP library with it.
        from listeners.connections.handler_clients import client_for

        if self._source is None:
            raise RuntimeError("This event has no listener, so there is no Salesforce org to call.")
        return client_for(self._source)

    def to_dict(self) -> dict[str, Any]:
        """Return the camelCase form that is posted to URLs and sent to external tasks."""
        return {
            "id": self.id,
            "listener": self.listener,
            "replayId": self.replay_id,
            "attempt": self.attempt,
            "changedData": self.changed_data,
            "metadata": self.metadata.to_dict(),
            "supersededFields": list(self.superseded_fields),
        }


def _names(
    entry: AuditLogEntry,
    sent: list[str] | None,
    derive: Callable[[Mapping[str, Any], list[str] | None], tuple[str, ...]],
) -> tuple[str, ...] | None:
    """Return the field names that the header sent or the body shows, or None for a record that was
    read over REST: its nulls are not fields that the change cleared."""
    if sent is None and entry.source != "stream":
        return None
    return derive(entry.changed_data, sent)


def _tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _list(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
