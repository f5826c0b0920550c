"""Operations on the org: its records, events, traffic, channels and clock.

An operation's docstring is its description in `--help` and in the documentation.
"""

import base64
import binascii
from collections.abc import Iterator

from simulator.control.requests import Body, ControlError, read_change, read_writer
from simulator.org.catalogue import Entity
from simulator.org.channels import Member
from simulator.org.description import field_names
from simulator.org.events import HEADER, StoredEvent
from simulator.org.records import JsonObject, Record
from simulator.rest.errors import RestError
from simulator.rest.soql import parse
from simulator.rest.soql_where import comparisons, holds
from simulator.simulator import Simulator
from simulator.traffic.generator import ENTITIES

NEWEST = "67.0"


def changes(sim: Simulator, body: Body) -> JsonObject:
    """Commit changes to records as one transaction; gaps and overflows too."""
    writer, now = read_writer(body), sim.clock.now()
    stamped_at = now - int(body.number("seconds_before_commit", 0) * 1000)
    if body.has("changes"):
        parsed = [
            read_change(item, f"change {number}")
            for number, item in enumerate(body.items("changes"), start=1)
        ]
    else:
        parsed = [read_change(body.rest())]
    body.done()
    return published(sim.org.commit(parsed, now=now, writer=writer, stamped_at=stamped_at))


def events(sim: Simulator, body: Body) -> JsonObject:
    """Publish an event with any header and body."""
    org, now = sim.org, sim.clock.now()
    if body.has("payload"):
        payload = body.mapping("payload")
        header = payload.get(HEADER)
    else:
        header = body.mapping("header")
        if body.flag("complete"):
            usual = {"sequenceNumber": 1, "changedFields": [], "recordIds": []}
            header = {**usual, **org.header(now), **header}
        payload = {**body.mapping("fields", {}), HEADER: header}
    named = header.get("entityName") if isinstance(header, dict) else None
    entity = body.text("entity", str(named or ""))
    schema, avro = body.text("schema_id", ""), _avro(body)
    body.done()
    return published(
        [org.publish_payload(payload, entity=entity, now=now, schema=schema, avro=avro)]
    )


def _avro(body: Body) -> bytes | None:
    """Return the event's own Avro payload, or None."""
    if not body.has("avro_payload"):
        return None
    try:
        return base64.b64decode(body.text("avro_payload"), validate=True)
    except binascii.Error as error:
        raise ControlError(f"'avro_payload' is not base64: {error}") from None


def messages(sim: Simulator, body: Body) -> JsonObject:
    """Send any message to the current CometD subscribers of a channel."""
    channel = body.text("channel")
    if body.has("message"):
        message = body.mapping("message")
    elif body.has("data"):
        message = {"channel": channel, "data": body.rest()["data"]}
    else:
        raise ControlError("the body lacks 'message' or 'data'")
    return {"sessions": sim.bayeux.inject(channel, message)}


def duplicates(sim: Simulator, body: Body) -> JsonObject:
    """Deliver retained events again."""
    again: list[StoredEvent] = []
    if body.has("replay_id"):
        replay_id = body.count("replay_id")
        if (event := sim.org.log.find(replay_id)) is None:
            raise ControlError(f"no retained event has the replay_id {replay_id}")
        again = [event]
    else:
        again = sim.org.log.retained()[-body.count("last", 1) :]
    for event in again:
        sim.bayeux.publish(event)
        sim.pubsub.publish(event)
    return published(again)


def bursts(sim: Simulator, body: Body) -> JsonObject:
    """Generate a number of events at once."""
    count = body.count("count")
    mix = body.weights("mix", sim.traffic.mix)
    entities = body.weights("entities", ENTITIES)
    quiet = body.flag("quiet")
    body.done()
    answer = published(sim.traffic.burst(count, sim.clock.now(), mix, entities))
    return {"count": answer["count"], "changes": answer["changes"]} if quiet else answer


async def traffic(sim: Simulator, body: Body) -> JsonObject:
    """Generate events at a rate from now on."""
    rate, count = body.number("rate"), body.count_or_none("count", None)
    body.done()
    await sim.pump.start(rate, count)
    return {"running": sim.pump.is_running}


def channels(sim: Simulator, body: Body) -> JsonObject:
    """Add a custom channel, or change its objects, enriched fields and filters."""
    name, names = body.text("name"), body.texts("entities")
    enriched = Body(body.mapping("enriched_fields", {}), "'enriched_fields'")
    filters = Body(body.mapping("filters", {}), "'filters'")
    body.done()
    members = {
        entity: _member(enriched.texts(entity), filters.text(entity, ""))
        for entity in names
        if enriched.has(entity) or filters.has(entity)
    }
    enriched.done()
    filters.done()
    return {"channel": sim.org.channels.define(name, names, members)}


def _member(enriched: tuple[str, ...], text: str) -> Member:
    """Return the member of a channel. Raises RestError for an invalid filter."""
    if not text:
        return Member(enriched)
    try:
        where = parse(f"SELECT Id FROM Event WHERE {text}").where  # noqa: S608
    except RestError as error:
        raise ControlError(f"invalid filter {text!r}: {error.message}") from None
    compared = [comparison.name for comparison in comparisons(where)]
    spelt = {name: name for name in compared}
    header = f"{HEADER}."
    fields = {name.partition(".")[0]: None for name in compared if not name.startswith(header)}
    return Member(enriched, text, tuple(fields), lambda values: holds(where, values, spelt))


def clock(sim: Simulator, body: Body) -> JsonObject:
    """Move the org's clock ahead, so that tokens, sessions and events expire."""
    sim.clock.advance(body.number("advance_seconds"))
    now = sim.clock.now()
    sim.org.log.expire(now)
    sim.wake()
    return {"now": now}


def empty_recycle_bin(sim: Simulator, _body: Body) -> JsonObject:
    """Permanently delete everything in the Recycle Bin."""
    return {"deleted": sim.org.store.empty_recycle_bin()}


def seed_records(sim: Simulator, body: Body) -> JsonObject:
    """Add records that take no memory, because they are calculated when they are read."""
    entity = sim.org.catalogue.get(body.text("entity"))
    count, seed = body.count("count"), int(body.number("seed", 0))
    body.done()
    sim.org.seed_records(entity, count, seed=seed, now=sim.clock.now())
    return {"entity": entity.name, "record_count": len(sim.org.records_of(entity))}


def records(sim: Simulator, body: Body) -> Iterator[JsonObject]:
    """Export the live records and the Recycle Bin, one JSON object a line."""
    org = sim.org
    wanted = body.text("entity", "")
    entities = [org.catalogue.get(wanted)] if wanted else list(org.catalogue.entities.values())
    snapshots = [(entity, org.snapshot_of(entity, deleted=True)) for entity in entities]
    return (
        {
            "entity": entity.name,
            "id": record_id,
            "deleted": is_deleted,
            "fields": _fields(sim, entity, record, deleted=is_deleted),
        }
        for entity, snapshot in snapshots
        for record_id in snapshot.ids
        for record, is_deleted in [snapshot.get(record_id)]
    )


def _fields(sim: Simulator, entity: Entity, record: Record, *, deleted: bool) -> JsonObject:
    """Return every field that the user may see, null where it is empty."""
    shown = sim.org.view.row(record, NEWEST, deleted=deleted)
    del shown["attributes"]
    return {**dict.fromkeys(field_names(entity)), **shown}


def published(events: list[StoredEvent]) -> JsonObject:
    """Return the response to a request that published events."""
    lines = [event.line() for event in events]
    record_ids = [
        record_id for line in lines for record_id in (line["header"] or {}).get("recordIds") or []
    ]
    return {
        "events": lines,
        "count": len(lines),
        "changes": len(record_ids),
        "record_ids": record_ids,
    }
