"""`python -m tests.faults`: errors in every background step of the running product, and causes of
such errors; exits with 1 if something was lost, or failed silently, or stopped anything else."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.chaos.__main__ import end
from tests.faults import cases, causes
from tests.faults.cases import FOR_A_WHILE, FOR_GOOD, KINDS, Case, Steps
from tests.faults.stage import Product, Violated
from tests.faults.verdict import judge
from tests.servers import missing_postgres

#: The last words of the names of the same thread for several listeners or destinations.
INSTANCES = ("everything", "contacts", "shop", "quiet")
#: How long the steps are watched before the first case, until no new one begins.
WARM_SECONDS = 12.0


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, end)
    if missing := missing_postgres():
        _say(missing)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="cdc-faults-"))
    _say(f"Faults with seed {options.seed}.")
    started = time.monotonic()
    try:
        violations = _run(folder, options)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _say(f"{time.monotonic() - started:.0f} s in all.")
    if violations:
        _say("\n".join(["Violations:", *violations]))
        _say(f"Broken with seed {options.seed}; the logs are in {folder}.")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    _say("Every error was noticed and nothing else stopped; nothing was lost.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    add = parser.add_argument
    add("what", nargs="?", choices=["all", "steps", "causes"], default="all")
    add("--quick", action="store_true", help="each step once in each mode, the kinds in turn")
    add("--step", metavar="NAME", help="this step alone")
    add("--kind", choices=KINDS, help="this kind of error alone")
    add("--seed", type=int, default=random.randrange(10_000), help="the same cases once more")
    return parser.parse_args()


def _run(folder: Path, options: argparse.Namespace) -> list[str]:
    violations: list[str] = []
    with causes.small_disk_is_removed(folder), Product(folder) as product:
        product.wait(product.web_is_ready, "a web server that is ready", 120)
        steps = _steps(product)
        _say(f"{len(steps.names)} steps: {', '.join(sorted(steps.names))}")
        for name, play in _cases(product, steps, options):
            began = time.monotonic()
            reason = ""
            try:
                play()
            except Violated as violated:
                reason = str(violated)
                violations.append(f"{name}: {reason}")
            _say(f"{'FAILED' if reason else 'ok':6} {time.monotonic() - began:5.1f} s  {name}")
            if reason:
                _say(f"       {reason}")
        restarts = product.unexpected_restarts()
        violations += [f"restarted by itself: {name}" for name in restarts]
        for kind, texts in judge(product).items():
            violations += [f"{kind}: {text}" for text in texts[:10]]
    return violations


def _steps(product: Product) -> Steps:
    """Return the steps once all of them have begun and no new one is made."""
    known: set[str] = set()
    since = time.monotonic()
    while time.monotonic() - since < WARM_SECONDS:
        found = set(Steps.of(product).names)
        if found != known:
            known, since = found, time.monotonic()
        time.sleep(1.0)
    return Steps.of(product)


def _cases(
    product: Product, steps: Steps, options: argparse.Namespace
) -> Iterator[tuple[str, Callable[[], None]]]:
    if options.what != "causes":
        for case in _step_cases(steps, options):
            yield str(case), partial(cases.play, product, steps, case)
    if options.what != "steps" and not (options.step or options.kind):
        for cause in causes.CAUSES:
            if missing := cause.missing():
                _say(f"skipped: {cause.name}: {missing}")
            else:
                yield cause.name, partial(causes.play, product, cause)


def _step_cases(steps: Steps, options: argparse.Namespace) -> Iterator[Case]:
    kinds = [options.kind] if options.kind else list(KINDS)
    if not options.step:
        yield from cases.planned(steps, INSTANCES, options.seed, kinds, is_quick=options.quick)
        return
    for kind in kinds:
        for mode in (FOR_A_WHILE, FOR_GOOD):
            yield Case(mode, kind, (options.step,))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
