"""Measures a backlog from the subscription until all changes are committed and published, beside
floor and peer."""

from __future__ import annotations

import json
from functools import partial

from benchmarks.figures import Report, Target
from benchmarks.org import CHANNEL, org_with
from benchmarks.progress import (
    Recorded,
    cpu_seconds,
    subscribed_at,
    wait_for,
    wait_for_subscription,
)
from benchmarks.relay import relayed
from benchmarks.stage import Run, Stage, configure, listener_yaml
from benchmarks.turns import Measured, Rates, Turns, Way, measured
from tests.simulator.process import SimulatorProcess

#: The peer is slow: it is given fewer of the same changes, which its rate does not depend on.
_PEER_CHANGES = 20_000
_SECONDS = 900.0
#: Seconds to an org that is not on this machine, and back.
_ROUND_TRIP = 0.05
_FLOOR, _PEER = "floor: backlog", "peer: backlog"
_SHARES = ((_FLOOR, 0.5, "half the floor"), (_PEER, 10.0, "ten times the peer"))


def measure(stage: Stage, report: Report, transports: list[str], changes: int, runs: int) -> None:
    """Measure product, floor and peer by turns."""
    with org_with(changes) as org:
        ways: dict[str, Way] = {
            _name(stage, transport): partial(product, transport, org, changes)
            for transport in transports
        }
        if stage.conditions.is_production:
            if "pubsub" in transports:
                ways["backlog, pubsub, 50 ms away"] = partial(_far, org, changes)
            ways[_FLOOR] = lambda run: _script(run, org, "benchmarks.floor", "floor_entry", changes)
            ways[_PEER] = partial(_peer, org, min(changes, _PEER_CHANGES))
        turns = Turns(stage, report, ways)
        turns.run(runs)
    turns.conclude(partial(_targets, stage, turns.rates()))


def _name(stage: Stage, transport: str) -> str:
    return f"backlog, {transport}, {stage.conditions}"


def _targets(stage: Stage, rates: Rates, name: str) -> tuple[Target, ...]:
    """Return the targets: floor and peer for CometD, CometD's rate for the Pub/Sub API."""
    cometd = _name(stage, "cometd")
    shares = {cometd: _SHARES, _name(stage, "pubsub"): ((cometd, 1.0, "CometD"),)}.get(name, ())
    return tuple(
        Target.share_of(rates[other], share, why) for other, share, why in shares if other in rates
    )


def product(
    transport: str,
    org: SimulatorProcess,
    changes: int,
    run: Run,
    *,
    name: str = "bench",
    endpoint: str = "",
) -> Measured:
    """Measure changes per second from the subscription until all are committed and published."""
    configure(run, org, listener_yaml(org, transport, "bench.empty", name=name, endpoint=endpoint))
    recorded = Recorded(run.database)
    listener = run.listener(name)
    before, of_database = wait_for_subscription(listener), run.database_cpu()
    ended = wait_for(lambda: recorded.is_published(changes), _SECONDS, "the end of the backlog")
    entries, published, _ = recorded.counts()
    if (entries, published) != (changes, changes):
        raise RuntimeError(f"of {changes}: {entries} recorded, {published} published")
    cpu, of_database = cpu_seconds([listener]) - before, run.database_cpu() - of_database
    return measured(changes, ended - subscribed_at(listener), cpu, of_database)


def _far(org: SimulatorProcess, changes: int, run: Run) -> Measured:
    with relayed(org.grpc_endpoint, _ROUND_TRIP) as endpoint:
        return product("pubsub", org, changes, run, endpoint=endpoint)


def _peer(org: SimulatorProcess, changes: int, run: Run) -> Measured:
    run.environment["DJANGO_SETTINGS_MODULE"] = "benchmarks.peer.settings"
    return _script(run, org, "benchmarks.peer.run", "peer_changelog", changes)


def _script(run: Run, org: SimulatorProcess, module: str, table: str, changes: int) -> Measured:
    known = {f"ORG_{key.upper()}": text for key, text in org.credentials.items()}
    run.environment |= {**known, "ORG_URL": org.url, "ORG_CHANNEL": CHANNEL}
    of_database = run.database_cpu()
    said = json.loads(run.python("-m", module, str(changes)))
    recorded, sent = run.database.row(f"SELECT count(*) FROM {table}")[0], run.broker.waiting()
    if (recorded, sent) != (changes, changes):
        raise RuntimeError(f"of {changes}: {recorded} recorded, {sent} published")
    of_database = run.database_cpu() - of_database
    return measured(changes, said["done"] - said["subscribed"], said["cpu"], of_database)
