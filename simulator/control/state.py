"""The state of the org and of its clients, as the control API shows it."""

from simulator.auth.oauth import TokenService
from simulator.evidence import MINUTE_MS
from simulator.faults import Faults
from simulator.org.events import HEADER, StoredEvent
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.streaming.bayeux import Bayeux


def event_line(event: StoredEvent) -> JsonObject:
    """Return an event without its fields."""
    return {
        "replay_id": event.replay_id,
        "event_uuid": event.event_uuid,
        "entity": event.entity,
        "at": event.at,
        "header": event.payload.get(HEADER),
    }


def published(events: list[StoredEvent]) -> JsonObject:
    """Return the response to a request that published events."""
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
    """Return the records and the newest events, up to these numbers."""
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


def logins_state(tokens: TokenService) -> JsonObject:
    """Return the login counters, and whether the user is locked."""
    return {
        "refresh_requests": tokens.refreshes,
        "refresh_reuses": tokens.reuses,
        "refreshes_in_progress": len(tokens.refresh_tokens.in_progress),
        "failed_logins": tokens.door.failed,
        "failed_logins_in_a_row": tokens.door.failed_in_a_row,
        "locked": tokens.door.locked,
    }


def traffic_state(bayeux: Bayeux, tokens: TokenService, faults: Faults, now: int) -> JsonObject:
    """Return sessions, token requests and waiting faults; `delivered` counts CometD events."""
    bayeux.sessions.sweep(now)
    token_requests = [request.line() for request in tokens.log]
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
        "token_requests": token_requests,
        "token_requests_last_minute": sum(line["at"] >= now - MINUTE_MS for line in token_requests),
        "logins": logins_state(tokens),
        "faults": [
            {"kind": fault.kind, "remaining": fault.remaining, **fault.options}
            for fault in faults.waiting
        ],
    }
