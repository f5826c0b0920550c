"""The org: records, the event log, and the transactions that connect them."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from simulator.options import Options
from simulator.org.avro.schema import Schema
from simulator.org.avro.schemas import Schemas
from simulator.org.catalogue import Catalogue, Entity, setup_records
from simulator.org.changes import OVERFLOW_ID, Change
from simulator.org.channels import Channels
from simulator.org.drafts import Draft, payload_of
from simulator.org.events import EventLog, StoredEvent
from simulator.org.fields import Field
from simulator.org.ids import USER_ID, OpaqueIds, RecordIds
from simulator.org.record_store import RecordStore, Snapshot
from simulator.org.records import JsonObject, Record
from simulator.org.relations import Relations
from simulator.org.seed import Seed
from simulator.org.seeded_rows import SeededRows
from simulator.org.transaction import Transaction
from simulator.org.view import View

FIRST_REPLAY_ID_AFTER = 1_700_000_000_000
#: Commit numbers grow with time, and exceed 2^53 like those of orgs on Hyperforce.
COMMITS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Writer:
    """The writer of a change, and the API it uses."""

    user: str = USER_ID
    api: str = "rest"
    client: str = "SfdcInternalAPI/"
    version: str = "67.0"

    @property
    def origin(self) -> str:
        """The changeOrigin of this writer's events, with the client's name if it has one."""
        path = f"com/salesforce/api/{self.api}/{self.version}"
        return f"{path};client={self.client}" if self.client else path


SOMEBODY = Writer()


class Org:
    """The complete state of the org, except for its clients."""

    def __init__(self, options: Options, *, now: int) -> None:
        """Raises LookupError or ValueError for an invalid custom channel."""
        self.opaque = OpaqueIds(random.Random())
        self.ids = RecordIds(random.Random(options.seed))
        self.catalogue = Catalogue()
        self.channels = Channels(self.catalogue)
        for definition in options.channel:
            name, _, entities = definition.partition("=")
            self.channels.define(name, entities.split(","))
        self.schemas = Schemas(self.catalogue)
        self.store = RecordStore()
        self.view = View(self.catalogue, Relations(self.catalogue, self.store))
        self._setup_records = setup_records(options.username, now)
        self.log = EventLog(
            newest_id=max(now - FIRST_REPLAY_ID_AFTER, 1_000),
            steps=self.opaque.replay_steps(),
            retention_ms=int(options.retention_hours * 3_600_000),
            retention_events=options.retention_events,
        )
        self.overflow_after = options.overflow_after
        for definition in options.records:
            name, _, count = definition.partition("=")
            entity = self.catalogue.get(name)
            self.seed_records(entity, int(count), seed=options.seed or 0, now=now)
        self._commit_number = now * COMMITS_PER_MS
        self._open: Transaction | None = None
        self._observers: list[Callable[[StoredEvent], None]] = []
        #: Encodes an event once, when it is published, for the Pub/Sub API; None without it.
        self.encode: Callable[[JsonObject, Schema], bytes | None] = lambda payload, schema: None

    def observe(self, observer: Callable[[StoredEvent], None]) -> None:
        """Call `observer` with each event from now on."""
        self._observers.append(observer)

    def records_of(self, entity: Entity) -> Mapping[str, Record]:
        """Return the live records of an entity or setup object, by id."""
        return self._setup_records.get(entity.name) or self.store.rows(entity.name)

    def snapshot_of(self, entity: Entity, *, deleted: bool) -> Snapshot:
        """Return the records of an entity or setup object as they are now."""
        if setup := self._setup_records.get(entity.name):
            return Snapshot(setup, {}, list(setup))
        return self.store.snapshot(entity.name, deleted=deleted)

    def seed_records(self, entity: Entity, count: int, *, seed: int, now: int) -> None:
        """Add records that are calculated when they are read. Raises ValueError.

        Reference fields point to the records of objects that have such records already.
        """
        seeds = {
            name: rows.seed
            for name, rows in self.store.live.items()
            if isinstance(rows, SeededRows)
        }
        if entity.name in seeds:
            raise ValueError(f"{entity.name} has calculated records already")
        new = Seed(entity, count, seed=seed, now=now, parents=seeds)
        self.store.live[entity.name] = SeededRows(new, dict(self.store.rows(entity.name)))

    def add_field(self, entity: Entity, name: str, kind: str) -> None:
        """Add a field of this type to an entity. Raises ValueError for an invalid one."""
        self.define_field(entity, Field(name, kind))

    def define_field(self, entity: Entity, field: Field) -> None:
        """Add a field, with a new schema of the entity's events. Raises ValueError."""
        self.schemas.add_field(entity.name, field.name, field.type)
        entity.added += (field,)
        if field.type == "boolean":
            self.store.fill(entity.name, field.name, value=False)

    def add_external_id(self, entity: Entity, name: str) -> None:
        """Add a unique text field to an entity, unless it has this field."""
        if name in entity.external_ids:
            return
        self.schemas.add_field(entity.name, name, "string")
        entity.external_ids += (name,)

    def commit(
        self,
        changes: Iterable[Change],
        *,
        now: int,
        writer: Writer = SOMEBODY,
        stamped_at: int | None = None,
    ) -> list[StoredEvent]:
        """Apply the changes as one transaction, and publish its events.

        With `stamped_at`, the records' times of modification are earlier than the commit, as in a
        long transaction.

        Raises LookupError, and applies nothing, if a change names an unknown entity or record.
        """
        begun_at = now if stamped_at is None else stamped_at
        with self._open or self._transaction(begun_at, writer) as transaction:
            for change in changes:
                transaction.apply(change)
        return [] if self._open else self._publish_transaction(transaction, now, writer)

    @contextmanager
    def all_or_none(self, *, now: int, writer: Writer = SOMEBODY) -> Iterator[None]:
        """Run several commits as one transaction, which an exception undoes."""
        with self._transaction(now, writer) as transaction:
            self._open = transaction
            try:
                yield
            finally:
                self._open = None
        self._publish_transaction(transaction, now, writer)

    def _transaction(self, now: int, writer: Writer) -> Transaction:
        return Transaction(self.store, self.catalogue, self.ids, now=now, user=writer.user)

    def publish_payload(
        self,
        payload: JsonObject,
        *,
        entity: str,
        now: int,
        schema: str = "",
        avro: bytes | None = None,
    ) -> StoredEvent:
        """Publish this payload unchanged; with `avro`, the Pub/Sub API sends those bytes."""
        if not schema:
            schema, unfit = self.schemas.for_event(entity, payload)
            avro = unfit if avro is None else avro
        if avro is None and schema in self.schemas.by_id:
            avro = self.encode(payload, self.schemas.by_id[schema])
        event = StoredEvent(
            replay_id=self.log.next_id(),
            at=now,
            entity=entity,
            schema=schema,
            event_uuid=self.opaque.event_uuid(),
            payload=payload,
            avro=avro,
        )
        self.log.append(event)
        self.log.expire(now)
        for observer in self._observers:
            observer(event)
        return event

    def delivered(self, channel: str, event: StoredEvent) -> list[StoredEvent]:
        """Return what a subscriber of the channel receives of an event, if anything; enriched
        fields have their values of now."""
        if not self.channels.carries(channel, event.entity):
            return []
        member = self.channels.members.get((channel, event.entity))
        if member is None:
            return [event]
        parts = member.parts(event.payload, lambda key: self._present(event.entity, key))
        return [self._part(event, payload) for payload in parts]

    def _present(self, entity: str, record_id: str) -> JsonObject:
        """Return the fields of a live or deleted record that the user may see."""
        record = self.store.rows(entity).get(record_id)
        record = record or self.store.recycle_bin.get(entity, {}).get(record_id)
        hidden = self.catalogue.get(entity).hidden
        fields = record.fields if record else {}
        return {name: value for name, value in fields.items() if name not in hidden}

    def _part(self, event: StoredEvent, payload: JsonObject) -> StoredEvent:
        if payload is event.payload:
            return event
        schema = self.schemas.by_id.get(event.schema)
        avro = event.avro and schema and self.encode(payload, schema)
        return replace(event, payload=payload, avro=avro or event.avro)

    def header(self, now: int, writer: Writer = SOMEBODY) -> JsonObject:
        """Return the header fields shared by every event of a new transaction."""
        self._commit_number += self.opaque.commit_step()
        return {
            "commitNumber": self._commit_number,
            "commitUser": writer.user,
            "changeOrigin": writer.origin,
            "transactionKey": self.opaque.transaction_key(),
            "commitTimestamp": now,
        }

    def _publish_transaction(
        self, transaction: Transaction, now: int, writer: Writer
    ) -> list[StoredEvent]:
        shared = self.header(now, writer)
        published = []
        for sequence, draft in enumerate(self._overflowing(transaction.drafts()), start=1):
            entity = self.catalogue.get(draft.entity)
            if entity.selected:
                draft.hide(entity.hidden)
                draft.fields, schema = self.schemas.in_order(
                    draft.entity, draft.change_type, draft.fields
                )
                payload = payload_of(draft, {**shared, "sequenceNumber": sequence})
                event = self.publish_payload(payload, entity=draft.entity, now=now, schema=schema)
                published.append(event)
        return published

    def _overflowing(self, drafts: list[Draft]) -> list[Draft]:
        """Return one overflow event for each entity above the transaction's limit."""
        published, overflowing = drafts[: self.overflow_after], drafts[self.overflow_after :]
        entities = dict.fromkeys(draft.entity for draft in overflowing)
        return published + [Draft(entity, [OVERFLOW_ID], "GAP_OVERFLOW") for entity in entities]
