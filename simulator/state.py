"""What the control API tells of the org and of who is connected."""

from dataclasses import asdict

from simulator.bayeux import Bayeux
from simulator.events import HEADER, StoredEvent
from simulator.faults import Faults
from simulator.oauth import TokenService
from simulator.org import Org
from simulator.records import JsonObject

MINUTE_MS = 60_000


def event_line(event: StoredEvent) -> JsonObject:
    """An event without its fields."""
    return {
        "replay_id": event.replay_id,
        "event_uuid": event.event_uuid,
        "entity": event.entity,
        "at": event.at,
        "header": event.payload.get(HEADER),
    }


def published(events: list[StoredEvent]) -> JsonObject:
    """The answer to a request that published something."""
    lines = [event_line(event) for event in events]
    headers = [line["header"] or {} for line in lines]
    return {
        "events": lines,
        "count": len(lines),
        "changes": sum(len(header.get("recordIds") or []) for header in headers),
        "record_ids": [
            record_id for header in headers for record_id in header.get("recordIds") or []
        ],
    }


def org_state(org: Org, *, events: int | None, records: int | None) -> JsonObject:
    """The records and the newest events, so many at most."""
    retained = org.log.retained()
    newest = retained if events is None else retained[max(len(retained) - events, 0) :]
    return {
        "records": {
            entity: {
                record_id: record.fields for record_id, record in list(of_entity.items())[:records]
            }
            for entity, of_entity in org.store.live.items()
        },
        "recycle_bin": {entity: list(ids) for entity, ids in org.store.recycle_bin.items()},
        "record_count": org.store.count(),
        "events": [event_line(event) for event in newest],
        "event_count": len(retained),
        "events_published": org.log.total,
        "newest_replay_id": org.log.newest_id if org.log.total else None,
        "oldest_replay_id": retained[0].replay_id if retained else None,
    }


def traffic_state(bayeux: Bayeux, tokens: TokenService, faults: Faults, now: int) -> JsonObject:
    """Sessions, token requests and waiting faults."""
    bayeux.sessions.sweep(now)
    sessions = list(bayeux.sessions.by_client.values())
    return {
        "now": now,
        "session_count": len(sessions),
        "sessions": [
            {
                "client_id": session.client_id,
                "api_version": session.api_version,
                "subscriptions": sorted(session.subscriptions),
                "held": session.held,
                "queued": len(session.queue),
                "delivered": session.delivered,
            }
            for session in sessions
        ],
        "delivered": bayeux.delivered,
        "token_requests": [
            {**asdict(request), "minute": request.at // MINUTE_MS} for request in tokens.requests
        ],
        "token_requests_last_minute": tokens.requests_since(now - MINUTE_MS),
        "faults": [
            {"kind": fault.kind, "remaining": fault.remaining, **fault.options}
            for fault in faults.waiting
        ],
    }
