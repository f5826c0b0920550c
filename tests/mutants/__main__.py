"""`make mutants`: tries a seeded sample of mutations, each against the tests that cover it.

Results are kept in var/mutants: a killed mutation of unchanged source is not tried again, so that a
second run tries only what survived or was not tried. Mutations that judged.toml calls equivalent
are tried last, if there is time left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path

from tests.mutants.areas import AREAS, ROOT, modules
from tests.mutants.covering import Covering, databases, recorded
from tests.mutants.mutations import Mutation, mutations_of, sample
from tests.mutants.report import is_met, judged, report
from tests.mutants.trying import Result, Tree, Verdict

FOLDER = ROOT / "var" / "mutants"
#: Tests mostly wait, so that each core has two; each has a database server of its own.
_JOBS = min(8, 2 * (os.cpu_count() or 1))
_MINUTES = "stop after so many minutes, the recording included (default 60)"


def main() -> int:
    options = _options()
    until = time.monotonic() + options.minutes * 60
    FOLDER.mkdir(parents=True, exist_ok=True)
    chosen = _chosen(options.sample, options.seed, options.area)
    if options.list:
        for area, mutations in chosen.items():
            for one in mutations:
                print(f"{area}: {one.path}:{one.line} {one.kind}: {one.key}")
        return 0
    results = {} if options.fresh else dict(_kept())
    covering = recorded(FOLDER, _signature(), options.jobs)
    left = [one for mutations in chosen.values() for one in mutations if one.key not in results]
    equivalent, _ = judged()
    left.sort(key=lambda one: one.key in equivalent)
    print(f"{len(left)} mutations to try", flush=True)
    _try_all(left, covering, results, options.jobs, until)
    (FOLDER / "report.md").write_text(report(chosen, results), encoding="utf-8")
    print(report(chosen, results))
    return 0 if is_met(chosen, results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants MUTANTS=…", description=__doc__)
    parser.add_argument("--sample", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="which (default 1)")
    parser.add_argument("--area", choices=AREAS, help="of one area alone")
    parser.add_argument("--minutes", type=float, default=60, help=_MINUTES)
    parser.add_argument(
        "--jobs", type=int, default=_JOBS, help=f"how many at once (default {_JOBS})"
    )
    parser.add_argument("--fresh", action="store_true", help="try again what was killed before")
    parser.add_argument("--list", action="store_true", help="print the sample and try nothing")
    return parser.parse_args()


def _chosen(size: int, seed: int, only: str | None) -> dict[str, list[Mutation]]:
    each, more = divmod(size, len(AREAS))
    chosen = {}
    for number, area in enumerate(AREAS):
        found = []
        for path in modules(area):
            found += mutations_of(path, (ROOT / path).read_bytes())
        chosen[area] = list(sample(found, each + (number < more), seed))
    return {only: chosen[only]} if only else chosen


def _try_all(
    mutations: Sequence[Mutation],
    covering: Covering,
    results: dict[str, Result],
    jobs: int,
    until: float,
) -> None:
    waiting: queue.SimpleQueue[Mutation] = queue.SimpleQueue()
    for one in mutations:
        waiting.put(one)

    is_interrupted = threading.Event()

    def work(number: int) -> None:
        tree = Tree(FOLDER / f"tree-{number}")
        while time.monotonic() < until and not is_interrupted.is_set():
            try:
                mutation = waiting.get_nowait()
            except queue.Empty:
                return
            result = tree.try_out(mutation, covering)
            results[result.key] = result
            _keep(mutation, result)
            print(f"{result.verdict:9} {mutation.key}\n          {result.by}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        working = [pool.submit(work, number) for number in range(jobs)]
        try:
            wait(working, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            print("ending when the tests that run have ended", flush=True)
        finally:
            is_interrupted.set()
    for done in working:
        done.result()


def _keep(mutation: Mutation, result: Result) -> None:
    line = asdict(result) | {"source": _digest(ROOT / mutation.path), "path": mutation.path}
    with (FOLDER / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _kept() -> Iterator[tuple[str, Result]]:
    """Yield the earlier results of killed mutations in modules that have not changed since."""
    try:
        lines = (FOLDER / "results.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for stored in map(json.loads, lines):
        is_same = stored["source"] == _digest(ROOT / stored["path"])
        if is_same and stored["verdict"] == Verdict.KILLED:
            yield stored["key"], Result(stored["key"], Verdict.KILLED, stored["by"])


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _signature() -> str:
    """Return the digest of all code that determines which tests run which line."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "*.py"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    together = hashlib.sha256()
    for name in sorted(filter(None, listed.stdout.decode().split("\0"))):
        if not name.startswith("tests/mutants/") and (ROOT / name).is_file():
            together.update(f"{name} {_digest(ROOT / name)}\n".encode())
    together.update(databases()[-1].encode())
    return together.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
