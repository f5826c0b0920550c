"""A backlog, from the subscription until all is committed and published, beside floor and peer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from benchmarks.figures import Figure, Target
from benchmarks.org import CHANNEL, org_with
from benchmarks.stage import Run, Stage, configure, listener_yaml, subscribed_at, wait_for
from chaos.services import Service
from tests.simulator.process import SimulatorProcess

#: The peer is slow: it is given fewer of the same changes, which its rate does not depend on.
_PEER_CHANGES = 20_000
_SECONDS = 900.0
_NEWEST = "SELECT coalesce(max(id), 0) FROM audit_auditlogentry"
_UNPUBLISHED = "SELECT EXISTS (SELECT 1 FROM handlers_delivery WHERE state = 'ready')"
_COUNTS = """
SELECT (SELECT count(*) FROM audit_auditlogentry),
       (SELECT count(*) FROM handlers_delivery WHERE state NOT IN ('ready', 'blocked'))
"""


def measure(stage: Stage, changes: int, runs: int) -> list[Figure]:
    """Runs by turns: product, floor, peer, product, ..."""
    ways: dict[str, Callable[[Run, SimulatorProcess, int], float]] = {
        "product": lambda run, org, size: product(stage, run, org, size)
    }
    if stage.conditions.transport == "cometd" and _is_production(stage):
        ways |= {"floor": _floor, "peer": _peer}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with org_with(changes) as org:
        for _ in range(runs):
            for name, way in ways.items():
                with stage.run() as run:
                    rates[name].append(way(run, org, changes))
    return _figures(stage, {name: tuple(found) for name, found in rates.items()})


def _is_production(stage: Stage) -> bool:
    """The floor and the peer are written for these."""
    return (stage.conditions.database, stage.conditions.broker) == ("postgres", "valkey")


def _figures(stage: Stage, rates: dict[str, tuple[float, ...]]) -> list[Figure]:
    others = {
        other: Figure(f"backlog, {other}", "changes/s", rates[other])
        for other in ("floor", "peer")
        if other in rates
    }
    targets = tuple(
        Target(share * others[other].median, f"{share:g} x {other}")
        for other, share in (("floor", 0.5), ("peer", 10.0))
        if other in others
    )
    name = f"backlog, {stage.conditions.names}"
    return [*others.values(), Figure(name, "changes/s", rates["product"], targets)]


def product(stage: Stage, run: Run, org: SimulatorProcess, changes: int) -> float:
    """Changes a second, from the subscription until all are committed and published."""
    configure(run, org, listener_yaml(org, stage.conditions, "bench.empty"))
    listener = run.listener()
    wait_for(lambda: _is_published(run, changes), _SECONDS, "the end of the backlog")
    ended = time.time()
    counts = run.database.row(_COUNTS)
    if counts != (changes, changes):
        raise RuntimeError(f"of {changes} changes {counts} were recorded and published")
    return changes / (ended - _began(listener))


def _is_published(run: Run, changes: int) -> bool:
    """Cheap to ask: the first question needs one look into an index."""
    return run.database.row(_NEWEST)[0] >= changes and not run.database.row(_UNPUBLISHED)[0]


def _began(listener: Service) -> float:
    began = subscribed_at(listener)
    assert began is not None
    return began


def _floor(run: Run, org: SimulatorProcess, changes: int) -> float:
    return _script(run, org, "benchmarks.floor", "floor_entry", changes)


def _peer(run: Run, org: SimulatorProcess, changes: int) -> float:
    run.environment["DJANGO_SETTINGS_MODULE"] = "benchmarks.peer.settings"
    return _script(run, org, "benchmarks.peer.run", "peer_changelog", min(changes, _PEER_CHANGES))


def _script(run: Run, org: SimulatorProcess, module: str, table: str, changes: int) -> float:
    known = {f"FLOOR_{key.upper()}": text for key, text in org.credentials.items()}
    run.environment |= {**known, "FLOOR_ORG": org.url, "FLOOR_CHANNEL": CHANNEL}
    said = json.loads(run.python("-m", module, str(changes)))
    counts = run.database.row(f"SELECT count(*) FROM {table}")[0], run.broker.waiting()
    if counts != (said["count"], said["count"]):
        raise RuntimeError(f"{said['count']} changes came, {counts} were recorded and published")
    return float(said["count"] / (said["done"] - said["subscribed"]))
