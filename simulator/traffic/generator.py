"""Realistic traffic, as from sales and HR users: random but repeatable, at once or at a rate."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.org.changes import Change, Create, Delete, Undelete, Update
from simulator.org.clock import Clock
from simulator.org.events import StoredEvent
from simulator.org.org import Org, Writer
from simulator.org.records import JsonObject
from simulator.traffic import people

ENTITIES: Mapping[str, float] = {
    "Account": 3,
    "Contact": 4,
    "Opportunity": 4,
    "Employee__c": 2,
}
#: `update_split`, which must be requested, is a bulk update in several events: one for the fields
#: that all records share, then one for each record with its other fields.
MIX: Mapping[str, float] = {
    "create": 30,
    "update": 45,
    "clear": 8,
    "update_many": 6,
    "delete": 7,
    "undelete": 4,
    "update_split": 0,
}
#: A mix in which all bulk updates are split.
SPLIT_MIX: Mapping[str, float] = {**MIX, "update_many": 0, "update_split": MIX["update_many"]}
WRITERS = (
    Writer(),
    Writer(api="soap", client="devconsole"),
    Writer(api="bulkapi", client="DataLoaderBulk/"),
    Writer(api="rest", client="erp-sync"),
)


class UnknownMixError(ValueError):
    """A mix has an unknown key."""


@dataclass(slots=True)
class Pool:
    """The records of one entity that the generator created, in a repeatable order."""

    live: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


class Traffic:
    """Generates one transaction at a time, the same ones for the same seed."""

    def __init__(self, org: Org, seed: int | None = None, mix: Mapping[str, float] = MIX) -> None:
        """`mix` is the default mix."""
        self.mix = mix
        self._org = org
        self._rng = random.Random(seed)
        self._pools = {entity: Pool() for entity in ENTITIES}
        self._moves = org.store.moves

    def step(
        self,
        now: int,
        mix: Mapping[str, float] | None = None,
        entities: Mapping[str, float] = ENTITIES,
    ) -> list[StoredEvent]:
        """Commit one transaction: one event of a selected entity, or several of a split one."""
        entity = self._pick(entities)
        self._follow_what_others_moved()
        kind = self._pick(self.mix if mix is None else mix)
        if kind == "update_split" and self._pools[entity].live:
            changes: list[Change] = self._split(entity)
        else:
            changes = [self._change(entity, kind)]
        events = self._org.commit(changes, now=now, writer=self._rng.choice(WRITERS))
        for change in changes:
            self._remember(change)
        return events

    def burst(
        self,
        count: int,
        now: int,
        mix: Mapping[str, float] | None = None,
        entities: Mapping[str, float] = ENTITIES,
    ) -> list[StoredEvent]:
        """Commit transactions until at least `count` events are published, with all events of a
        split one. Raises UnknownMixError if the mix gives none."""
        mix = self.mix if mix is None else mix
        self._check(mix, entities)
        events: list[StoredEvent] = []
        while len(events) < count:
            events += self.step(now, mix, entities)
        return events

    def _check(self, mix: Mapping[str, float], entities: Mapping[str, float]) -> None:
        for given, known in ((mix, MIX), (entities, ENTITIES)):
            if unknown := [key for key in given if key not in known]:
                raise UnknownMixError(f"unknown {unknown[0]!r}; known are {', '.join(known)}")
            if not any(weight > 0 for weight in given.values()):
                raise UnknownMixError("a mix needs a weight above zero")
        catalogue = self._org.catalogue
        if not any(catalogue.get(name).selected and entities[name] > 0 for name in entities):
            raise UnknownMixError("none of the entities is selected for Change Data Capture")

    def _pick(self, weights: Mapping[str, float]) -> str:
        return self._rng.choices(list(weights), list(weights.values()))[0]

    def _change(self, entity: str, kind: str) -> Change:
        pool = self._pools[entity]
        if kind == "undelete" and pool.deleted:
            return Undelete(entity, (self._rng.choice(pool.deleted),))
        if kind in ("create", "undelete") or not pool.live:
            accounts = self._pools["Account"].live
            account_id = self._rng.choice(accounts) if accounts else None
            return Create(entity, (people.new_record(entity, self._rng, account_id),))
        record_id = self._rng.choice(pool.live)
        match kind:
            case "delete":
                return Delete(entity, (record_id,))
            case "clear":
                return Update(entity, (record_id,), self._cleared(entity, record_id))
            case "update_many":
                return self._same_for_many(entity)
            case _:
                return Update(entity, (record_id,), people.edit(entity, self._rng))

    def _cleared(self, entity: str, record_id: str) -> JsonObject:
        fields = self._org.store.get(entity, record_id).fields
        clearable = [name for name in people.CLEARABLE[entity] if name in fields]
        if not clearable:
            return people.edit(entity, self._rng)
        return {self._rng.choice(clearable): None}

    def _same_for_many(self, entity: str) -> Update:
        """Return the same change for several records, so that one event covers all of them."""
        live = self._pools[entity].live
        record_ids = self._rng.sample(live, min(len(live), self._rng.randint(2, 20)))
        return Update(entity, tuple(record_ids), people.campaign(entity, self._rng))

    def _split(self, entity: str) -> list[Change]:
        """Return one save of a bulk load: a change of all records, and one for each record."""
        shared = self._same_for_many(entity)
        return [shared, *(self._own(shared, record_id) for record_id in shared.record_ids)]

    def _own(self, shared: Update, record_id: str) -> Update:
        edit = people.edit(shared.entity, self._rng)
        fields = {name: value for name, value in edit.items() if name not in shared.fields}
        return Update(shared.entity, (record_id,), fields, separate_fields=tuple(fields))

    def _follow_what_others_moved(self) -> None:
        store = self._org.store
        if store.moves == self._moves:
            return
        for entity, pool in self._pools.items():
            pool.live = list(store.live.get(entity, {}))
            pool.deleted = list(store.recycle_bin.get(entity, {}))

    def _remember(self, change: Change) -> None:
        pool, store = self._pools[change.entity], self._org.store
        match change:
            case Create():
                pool.live.append(next(reversed(store.live[change.entity])))
            case Delete(record_ids=(record_id,)):
                pool.live.remove(record_id)
                pool.deleted.append(record_id)
            case Undelete(record_ids=(record_id,)):
                pool.deleted.remove(record_id)
                pool.live.append(record_id)
        self._moves = store.moves


SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.5


class Pump:
    """Runs the traffic generator, one run at a time. `problem` says why a run ended early."""

    def __init__(self, traffic: Traffic, clock: Clock) -> None:
        self._traffic = traffic
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.produced = 0
        self.problem = ""

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self, rate: float, count: int | None) -> None:
        """Replace the current run; with a count and no rate, all events are published at once."""
        await self.stop()
        self.problem = ""
        if rate > 0:
            self._task = asyncio.create_task(self._run(rate, count))
        elif count:
            self.produced += len(self._traffic.burst(count, self._clock.now()))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self, rate: float, count: int | None) -> None:
        started, made = time.monotonic(), 0
        while count is None or made < count:
            due = int((time.monotonic() - started) * rate) + 1
            missing = (due if count is None else min(due, count)) - made
            if missing > 0:
                try:
                    fresh = len(self._traffic.burst(missing, self._clock.now()))
                except UnknownMixError as error:
                    self.problem = str(error)
                    return
                made += fresh
                self.produced += fresh
            await asyncio.sleep(min(max(1 / rate, SHORTEST_PAUSE), LONGEST_PAUSE))
