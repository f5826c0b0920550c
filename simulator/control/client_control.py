"""Operations on the org's clients: faults, logins, permissions, and what the clients sent.

An operation's docstring is its description in `--help` and in the documentation.
"""

from collections import deque
from itertools import islice

from simulator.auth.oauth import MINUTE_MS, TokenCall, TokenService
from simulator.control.requests import Body, ControlError
from simulator.evidence import SeenRequest
from simulator.faults import GRPC, META
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.pubsub.hub import Call
from simulator.simulator import Simulator
from simulator.streaming.replies import UNKNOWN_CLIENT


def faults(sim: Simulator, body: Body) -> JsonObject:
    """Make the next requests fail, or drop tokens, sessions or events at once."""
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


def clear_faults(sim: Simulator, _body: Body) -> JsonObject:
    """Clear the waiting faults."""
    sim.pubsub.end_stalls()
    sim.jobs.release()
    return {"cleared": sim.faults.clear()}


def managed_subscriptions(sim: Simulator, body: Body) -> JsonObject:
    """Add, change, stop or delete a managed event subscription."""
    name, managed = body.text("name"), sim.pubsub.managed
    before = managed.by_name.get(name)
    topic = body.text("topic", before.topic if before else None)
    replay = body.text("replay", before.replay if before else "latest")
    state = body.text("state", before.state if before else "running")
    subscription = managed.define(name, topic, replay, state)
    sim.pubsub.wake()
    return subscription.line()


def access(sim: Simulator, body: Body) -> JsonObject:
    """Give or take permissions of the integration user."""
    given = sim.access
    given.api_enabled = body.flag("api_enabled", default=given.api_enabled)
    given.view_setup = body.flag("view_setup", default=given.view_setup)
    return {"api_enabled": given.api_enabled, "view_setup": given.view_setup}


def unlock(sim: Simulator, _body: Body) -> JsonObject:
    """Unlock the integration user after too many wrong passwords."""
    sim.tokens.door.unlock()
    return _logins(sim.tokens)


def refresh_token(sim: Simulator, _body: Body) -> JsonObject:
    """Issue a new refresh token, as a new authorization does."""
    return {"refresh_token": sim.tokens.refresh_tokens.renew()}


async def restart_pubsub(sim: Simulator, body: Body) -> JsonObject:
    """Close every connection of the Pub/Sub API, and its port for a while."""
    seconds, server = body.number("seconds", 0), sim.pubsub_server
    if server is None:
        raise ControlError("there is no Pub/Sub API: start the simulator with --grpc-port")
    await server.restart(seconds)
    return {"port": server.port}


def state(sim: Simulator, body: Body) -> JsonObject:
    """Show records, events, sessions, streams, logins and waiting faults."""
    now = sim.clock.now()
    sim.bayeux.sessions.sweep(now)
    token_requests = [request.line() for request in sim.tokens.log]
    sessions = list(sim.bayeux.sessions.by_client.values())
    return {
        **_org_state(sim.org, events=body.limit("events"), records=body.limit("records")),
        "now": now,
        "session_count": len(sessions),
        "sessions": [session.line() for session in sessions],
        "delivered": sim.bayeux.delivered,
        "token_requests": token_requests,
        "token_requests_last_minute": sum(line["at"] >= now - MINUTE_MS for line in token_requests),
        "logins": _logins(sim.tokens),
        "faults": [
            {"kind": fault.kind, "remaining": fault.remaining, **fault.options}
            for fault in sim.faults.waiting
        ],
        "pubsub": sim.pubsub.state(),
        "traffic": {
            "running": sim.pump.is_running,
            "produced": sim.pump.produced,
            "problem": sim.pump.problem,
        },
    }


def _org_state(org: Org, *, events: int | None, records: int | None) -> JsonObject:
    """Return the records and the newest events, up to these numbers."""
    retained = org.log.retained()
    newest = retained if events is None else retained[max(len(retained) - events, 0) :]
    return {
        "records": {
            entity: {
                record_id: record.fields for record_id, record in islice(of_entity.items(), records)
            }
            for entity, of_entity in org.store.live.items()
        },
        "recycle_bin": {entity: list(ids) for entity, ids in org.store.recycle_bin.items() if ids},
        "record_count": org.store.count(),
        "events": [event.line() for event in newest],
        "event_count": len(retained),
        "events_published": org.log.total,
        "newest_replay_id": org.log.newest_id if org.log.total else None,
        "oldest_replay_id": retained[0].replay_id if retained else None,
    }


def _logins(tokens: TokenService) -> JsonObject:
    """Return the login counters, and whether the user is locked."""
    return {
        "refresh_requests": tokens.refreshes,
        "refresh_reuses": tokens.reuses,
        "refreshes_in_progress": len(tokens.refresh_tokens.in_progress),
        "failed_logins": tokens.door.failed,
        "failed_logins_in_a_row": tokens.door.failed_in_a_row,
        "locked": tokens.door.locked,
    }


def token_requests(sim: Simulator, body: Body) -> JsonObject:
    """Show the token requests, including SOAP logins."""
    return {"token_requests": _since(sim.tokens.log, body), **_logins(sim.tokens)}


def clear_token_requests(sim: Simulator, _body: Body) -> JsonObject:
    """Clear the token requests and their counters."""
    sim.tokens.refreshes = sim.tokens.reuses = 0
    return _cleared(sim.tokens.log)


def requests(sim: Simulator, body: Body) -> JsonObject:
    """Show the other HTTP requests of clients."""
    return {"requests": _since(sim.requests, body)}


def clear_requests(sim: Simulator, _body: Body) -> JsonObject:
    """Clear the other HTTP requests."""
    return _cleared(sim.requests)


def pubsub_calls(sim: Simulator, body: Body) -> JsonObject:
    """Show the calls of the Pub/Sub API."""
    return {"calls": _since(sim.pubsub.calls, body)}


def clear_pubsub_calls(sim: Simulator, _body: Body) -> JsonObject:
    """Clear the calls of the Pub/Sub API."""
    return _cleared(sim.pubsub.calls)


Requests = deque[TokenCall] | deque[SeenRequest] | deque[Call]


def _since(log: Requests, body: Body) -> list[JsonObject]:
    since = body.limit("since") or 0
    return [line for line in (entry.line() for entry in log) if line["at"] >= since]


def _cleared(log: Requests) -> JsonObject:
    count = len(log)
    log.clear()
    return {"cleared": count}
