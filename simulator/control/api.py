"""The control API: make changes and faults, and inspect the org.

It is for tests and demonstrations: JSON without authentication, meant for a loopback address.
Invalid input is answered with 400 and `{"error": …}`, which names the wrong part.
`docs/simulator.md` describes each operation with an example; `operations` lists them.
"""

from aiohttp import web

from simulator import wire
from simulator.control.pubsub_api import read_avro
from simulator.control.requests import (
    Action,
    Body,
    ControlError,
    Numbers,
    json_handler,
    query_handler,
    read_change,
    read_writer,
)
from simulator.control.state import org_state, published, traffic_state
from simulator.faults import GRPC, META
from simulator.org.events import HEADER, StoredEvent
from simulator.org.records import JsonObject
from simulator.simulator import Simulator
from simulator.streaming.replies import UNKNOWN_CLIENT
from simulator.traffic.generator import ENTITIES


class Control:
    """The routes below `/_simulator/`."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator

    def add_routes(self, app: web.Application) -> None:
        """Add the routes."""
        actions: dict[str, Action] = {
            "changes": self.changes,
            "events": self.events,
            "messages": self.messages,
            "duplicates": self.duplicates,
            "bursts": self.bursts,
            "traffic": self.traffic,
            "faults": self.faults,
            "entities": self.entities,
            "channels": self.channels,
            "clock": self.clock,
            "refresh-token": self.refresh_token,
            "recycle-bin/empty": self.empty_recycle_bin,
        }
        for path, action in actions.items():
            app.router.add_post(f"/_simulator/{path}", json_handler(action))
        app.router.add_delete("/_simulator/faults", self.clear_faults)
        state = query_handler(("events", "records"), self.state)
        app.router.add_get("/_simulator/state", state)

    def changes(self, body: Body) -> JsonObject:
        """Commit one transaction."""
        writer = read_writer(body)
        if body.has("changes"):
            parsed = [
                read_change(item, f"change {number}")
                for number, item in enumerate(body.items("changes"), start=1)
            ]
        else:
            parsed = [read_change(body.rest())]
        body.done()
        return published(self._sim.org.commit(parsed, now=self._sim.clock.now(), writer=writer))

    def events(self, body: Body) -> JsonObject:
        """Publish a raw event."""
        org, now = self._sim.org, self._sim.clock.now()
        if body.has("payload"):
            payload = body.mapping("payload")
            header = payload.get(HEADER)
        else:
            header = body.mapping("header")
            if body.flag("complete", default=False):
                usual = {"sequenceNumber": 1, "changedFields": [], "recordIds": []}
                header = {**usual, **org.header(now), **header}
            payload = {**body.mapping("fields", {}), HEADER: header}
        named = header.get("entityName") if isinstance(header, dict) else None
        entity = body.text("entity", str(named or ""))
        schema, avro = body.text("schema_id", ""), read_avro(body)
        body.done()
        return published(
            [org.publish_payload(payload, entity=entity, now=now, schema=schema, avro=avro)]
        )

    def messages(self, body: Body) -> JsonObject:
        """Send any message."""
        channel = body.text("channel")
        if body.has("message"):
            message = body.mapping("message")
        elif body.has("data"):
            message = {"channel": channel, "data": body.rest()["data"]}
        else:
            raise ControlError("the body lacks 'message' or 'data'")
        return {"sessions": self._sim.bayeux.inject(channel, message)}

    def duplicates(self, body: Body) -> JsonObject:
        """Deliver events again."""
        log = self._sim.org.log
        again: list[StoredEvent] = []
        if body.has("replay_id"):
            replay_id = body.count("replay_id")
            if (event := log.find(replay_id)) is None:
                raise ControlError(f"no retained event has the replay_id {replay_id}")
            again = [event]
        else:
            again = log.retained()[-body.count("last", 1) :]
        for event in again:
            self._sim.bayeux.publish(event)
            self._sim.pubsub.publish(event)
        return published(again)

    def bursts(self, body: Body) -> JsonObject:
        """Generate events at once."""
        count = body.count("count")
        mix = body.weights("mix", self._sim.traffic.mix)
        entities = body.weights("entities", ENTITIES)
        quiet = body.flag("quiet")
        body.done()
        now = self._sim.clock.now()
        answer = published(self._sim.traffic.burst(count, now, mix, entities))
        return {"count": answer["count"], "changes": answer["changes"]} if quiet else answer

    async def traffic(self, body: Body) -> JsonObject:
        """Generate events at a rate."""
        rate, count = body.number("rate"), body.count_or_none("count", None)
        body.done()
        await self._sim.pump.start(rate, count)
        return {"running": self._sim.pump.is_running}

    def faults(self, body: Body) -> JsonObject:
        """Make a fault, at once or for the next requests."""
        sim = self._sim
        match body.text("kind"):
            case "revoke_tokens":
                count = sim.tokens.revoke_all()
            case "drop_sessions":
                sim.bayeux.unknown_client_error = body.text("error", UNKNOWN_CLIENT)
                count = sim.bayeux.sessions.drop_all()
            case "age_out":
                return {"affected": sim.org.log.lose_all(forget=body.flag("forget"))}
            case kind:
                times = body.count_or_none("times", 1)
                sim.faults.add(kind, times, body.rest())
                if kind in (*META, "http_status"):
                    sim.cometd.interrupt()
                if kind in GRPC:
                    sim.pubsub.wake()
                return {"waiting": len(sim.faults.waiting)}
        sim.wake()
        return {"affected": count}

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        """Clear the waiting faults, and end the stalls of streams."""
        self._sim.pubsub.end_stalls()
        return wire.json_response({"cleared": self._sim.faults.clear()})

    def entities(self, body: Body) -> JsonObject:
        """Add or change an entity."""
        entity = self._sim.org.catalogue.define(body.text("name"), body.text("prefix", ""))
        entity.selected = body.flag("selected", default=entity.selected)
        entity.visible = body.flag("visible", default=entity.visible)
        for field, kind in body.mapping("fields", {}).items():
            self._sim.org.schemas.add_field(entity.name, field, str(kind))
        for field in body.texts("external_ids"):
            self._sim.org.add_external_id(entity, field)
        return {
            "name": entity.name,
            "prefix": entity.prefix,
            "selected": entity.selected,
            "visible": entity.visible,
            "external_ids": list(entity.external_ids),
        }

    def channels(self, body: Body) -> JsonObject:
        """Add or change a custom channel."""
        name, entities = body.text("name"), body.texts("entities")
        return {"channel": self._sim.org.channels.define(name, list(entities))}

    def clock(self, body: Body) -> JsonObject:
        """Move the clock ahead."""
        self._sim.clock.advance(body.number("advance_seconds"))
        now = self._sim.clock.now()
        self._sim.org.log.expire(now)
        self._sim.wake()
        return {"now": now}

    def refresh_token(self, _body: Body) -> JsonObject:
        """Issue a new refresh token."""
        return {"refresh_token": self._sim.tokens.refresh_tokens.renew()}

    def empty_recycle_bin(self, _body: Body) -> JsonObject:
        """Empty the Recycle Bin: delete its records permanently."""
        return {"deleted": self._sim.org.store.empty_recycle_bin()}

    def state(self, limits: Numbers) -> JsonObject:
        """Return the whole state."""
        sim = self._sim
        return {
            **org_state(sim.org, events=limits["events"], records=limits["records"]),
            **traffic_state(sim.bayeux, sim.tokens, sim.faults, sim.clock.now()),
            "pubsub": sim.pubsub.state(),
            "traffic": {
                "running": sim.pump.is_running,
                "produced": sim.pump.produced,
                "problem": sim.pump.problem,
            },
        }
