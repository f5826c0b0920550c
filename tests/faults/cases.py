"""Errors in the steps of the running product, one case for a group of steps, a kind and a mode."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.faults.stage import Product, Violated

KINDS = ("RuntimeError", "ProgrammingError", "UnicodeEncodeError", "MemoryError")
ONCE, FOR_A_WHILE, FOR_GOOD = "once", "for a while", "for good"
#: The parts of a thread that fail together. More would hide whether the others go on.
MOST_AT_ONCE = 8
#: Alerts about these can only come from another process.
ALERTS = {"alerts", "alert thread"}
LISTENER = "listener1"
#: How long each other step may take for its next success.
GOES_ON_SECONDS = 30.0

#: A process and a step.
Place = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Case:
    mode: str
    kind: str
    #: None: all steps of all processes.
    steps: tuple[str, ...] | None = None
    during: bool = False

    def __str__(self) -> str:
        names = "all steps" if self.steps is None else ", ".join(self.steps)
        place = ", at a statement" if self.during else ""
        return f"{names}: {self.kind} {self.mode}{place}"


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of the running product."""

    names: frozenset[str]
    #: The step whose work calls this one.
    outer: dict[str, str]

    @classmethod
    def of(cls, product: Product) -> Steps:
        names: set[str] = set()
        outer: dict[str, str] = {}
        for report in product.reports():
            names.update(report["instances"])
            outer |= {
                name: step["within"] for name, step in report["steps"].items() if step["within"]
            }
        return cls(frozenset(names), outer)

    def groups(self, instances: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the steps that fail together: the same thread of several `instances`, such as
        listeners, and some parts of one thread."""
        found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for name in sorted(self.names):
            first, _, last = name.rpartition(" ")
            outer = "" if name in ALERTS else self.outer.get(name, "")
            found[outer, "" if outer else first if last in instances else name].append(name)
        return [
            tuple(names[at : at + MOST_AT_ONCE])
            for names in found.values()
            for at in range(0, len(names), MOST_AT_ONCE)
        ]


def planned(
    steps: Steps, instances: Sequence[str], seed: int, kinds: Sequence[str], *, is_quick: bool
) -> Iterator[Case]:
    """Yield the cases: quick, each group once in each mode, with the kinds in turn."""
    rng = random.Random(seed)
    for place, kind in enumerate(kinds):
        for during in (bool(place % 2),) if is_quick else (False, True):
            yield Case(ONCE, kind, during=during)
    groups = steps.groups(instances)
    rng.shuffle(groups)
    turn = rng.randrange(len(kinds))
    for place, group in enumerate(groups):
        for number, mode in enumerate((FOR_A_WHILE, FOR_GOOD)):
            chosen = [kinds[(turn + place + number) % len(kinds)]] if is_quick else kinds
            for kind in chosen:
                yield Case(mode, kind, group)


def play(product: Product, steps: Steps, case: Case) -> None:
    """Play a case. Raises Violated."""
    product.ignored = set()
    product.ignored = {*product.incidents(), *product.failing()} - set(case.steps or ())
    try:
        if case.mode == ONCE:
            _play_once(product, steps, case)
        else:
            _play_on(product, steps, case)
    finally:
        product.plan()


def settle(product: Product) -> None:
    """Wait until nothing fails any more."""
    product.wait(
        lambda: not product.incidents(),
        "the end of the incident",
        last=lambda: list(product.incidents()),
    )
    product.wait(
        lambda: not product.failing(),
        "readiness without a failing step",
        last=product.failing,
    )


def _play_once(product: Product, steps: Steps, case: Case) -> None:
    number = product.plan(None, case.kind, once=True, during=case.during)

    def missing() -> set[str]:
        raised: set[str] = set()
        for report in product.reports():
            if report["plan"] == number:
                raised.update(report["raised"])
        return set(steps.names - raised)

    product.wait(lambda: not missing(), "an error in each step", last=missing)
    product.plan()
    settle(product)


def _play_on(product: Product, steps: Steps, case: Case) -> None:
    assert case.steps is not None
    own = set(case.steps)
    before = _places(product)
    product.plan(case.steps, case.kind, process=LISTENER if own & ALERTS else "")

    def lacking() -> set[str]:
        return own - product.incidents().keys()

    product.wait(lambda: not lacking(), "an incident", last=lacking)
    if case.mode == FOR_GOOD:
        _check_that_it_is_told(product, own)
        _check_that_others_go_on(product, steps, own, before)
    product.plan()
    settle(product)


def _check_that_it_is_told(product: Product, own: set[str]) -> None:
    for name in own:
        incident = product.incidents().get(name)
        if not incident or not all(incident.values()):
            raise Violated(f"the incident of {name} does not say enough: {incident}")

    def untold() -> set[str]:
        said = "\n".join(product.alerts("open"))
        return {name for name in own if f"{name} keeps failing" not in said}

    product.wait(lambda: not untold(), "an alert", last=untold)
    unsaid = own - product.failing()
    if unsaid:
        status = product.status()
        unsaid = {name for name in unsaid if name not in status}
    if unsaid:
        raise Violated(f"neither readiness nor status says so: {unsaid}")


def _check_that_others_go_on(
    product: Product, steps: Steps, own: set[str], before: dict[Place, dict[str, int]]
) -> None:
    """Check that no other step fails, that each periodic one succeeds again, and that each one that
    waits for work does so."""
    begun = _places(product)

    def stopped() -> set[str]:
        now = _places(product)
        return {
            f"{name} in {process}"
            for (process, pid, name), step in now.items()
            if name not in own
            and not own & _around(steps, name)
            and (process, pid, name) in begun
            and step["done"] <= begun[process, pid, name]["done"]
            and (_is_periodic(steps, now, (process, pid, name)) or step["in_work"] <= 0)
        }

    product.wait(lambda: not stopped(), "a success of each other step", GOES_ON_SECONDS, stopped)
    others = product.incidents().keys() - own
    if others:
        raise Violated(f"others fail too: {others}")


def _is_periodic(steps: Steps, places: dict[Place, dict[str, int]], place: Place) -> bool:
    process, pid, name = place
    names = {name, *_around(steps, name)}
    return any(places.get((process, pid, found), {}).get("every") for found in names)


def _around(steps: Steps, name: str) -> set[str]:
    """Return the steps whose work calls this one."""
    found: set[str] = set()
    while name := steps.outer.get(name, ""):
        found.add(name)
    return found


def _places(product: Product) -> dict[Place, dict[str, int]]:
    """Return the record of each step that runs, in each process."""
    return {
        (report["process"], report["pid"], name): step
        for report in product.reports()
        for name, step in report["steps"].items()
        if step["begun"]
    }
