"""Measures the load of a mirror, beside the floor and simple-salesforce, and its memory.

    python -m benchmarks.mirror_load WAY     one of the ways, configured by the environment

All ways read the same query job's pages from one org into tables with equal columns and indexes.
"""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import requests

from benchmarks.bayeux import log_in
from benchmarks.figures import Figure, Report, Target
from benchmarks.stage import Run, Stage, configure
from benchmarks.turns import Rates, Turns, Way
from tests.simulator.process import SimulatorProcess

#: Seconds, and seconds of this process's CPU.
Spent = tuple[float, float]

ENTITY = "Asset__c"
ROWS = "rows/s"
MEMORY = "MB"
CPU, DATABASE_CPU = "us of CPU/row", "us of database CPU/row"
#: The peer is slow: it is given fewer records, which its rate does not depend on.
PEER_RECORDS = 20_000
_PRODUCT, _FLOOR, _PEER = "mirror load", "floor: download, parse, COPY", "peer: bulk2, bulk_create"
_SHARES = ((_FLOOR, 0.5, "half the floor"), (_PEER, 5.0, "five times the peer"))
_MOST_MEMORY = Target(200.0, "bounded memory", at_most=True)
MEMORY_SIZES = (100_000, 1_000_000)
_KINDS = {"Text": ("string", 10), "Amount": ("double", 4), "Number": ("int", 2),
          "Day": ("date", 2), "Moment": ("datetime", 2), "Flag": ("boolean", 1)}  # fmt: skip
_SYSTEM = ("Id", "Name", "OwnerId", "CreatedDate", "CreatedById", "LastModifiedById",
           "LastModifiedDate", "IsDeleted", "SystemModstamp")  # fmt: skip
_CUSTOM = [f"{name}_{n + 1}__c" for name, (_, count) in _KINDS.items() for n in range(count)]
FIELDS = ["Id", *sorted({*_SYSTEM, *_CUSTOM} - {"Id"})]
LISTENER = """\
  - name: bench
    connection: bench
    channel: /data/ChangeEvents
    transport: cometd
    replay_from: tip
"""


@contextmanager
def org_with(records: int) -> Iterator[SimulatorProcess]:
    """Run an org with so many records of 30 fields, which it calculates when they are read."""
    types = {"Name": "string"}
    types |= {f"{name}_{n + 1}__c": kind for name, (kind, c) in _KINDS.items() for n in range(c)}
    with SimulatorProcess("--seed", "1", grpc=True) as org:
        org.entity(ENTITY, prefix="a90", fields=types)
        org.post("records", entity=ENTITY, count=records, seed=1)
        _read_pages(org)
        yield org


def _read_pages(org: SimulatorProcess) -> None:
    """Read all pages once, so that the org has written them before what is measured reads them."""
    known = (org.credentials["client_id"], org.credentials["client_secret"])
    for page in pages_of(org.url, log_in(org.url, *known)["access_token"]):
        page.close()


def measure(stage: Stage, report: Report, records: int, runs: int) -> None:
    """Measure product, floor and peer by turns."""
    with org_with(records) as org, org_with(min(records, PEER_RECORDS)) as small:
        ways: dict[str, Way] = {
            _PRODUCT: partial(_script, org, "product", records),
            _FLOOR: partial(_script, org, "floor", records),
            _PEER: partial(_script, small, "peer", min(records, PEER_RECORDS)),
        }
        turns = Turns(stage, report, ways, rate=ROWS)
        turns.run(runs)
    turns.conclude(partial(_targets, turns.rates()))
    for number, figure in enumerate(report.figures):
        if (figure.name, figure.unit) == (_PRODUCT, MEMORY):
            report.figures[number] = Figure(_PRODUCT, MEMORY, figure.values, (_MOST_MEMORY,))


def measure_memory(stage: Stage, report: Report) -> None:
    """Measure the memory of loads with increasing numbers of records."""
    found: dict[int, float] = {}
    for records in MEMORY_SIZES:
        with org_with(records) as org, stage.run() as run:
            found[records] = _script(org, "product", records, run)[MEMORY]
    first = found[MEMORY_SIZES[0]]
    flat = Target(first * 1.1, "within 10 % since 100,000", at_most=True)
    for records, memory in found.items():
        targets = (_MOST_MEMORY, flat) if records > MEMORY_SIZES[0] else (_MOST_MEMORY,)
        report.figures.append(
            Figure(f"{_PRODUCT}, {records:,} records", MEMORY, (memory,), targets)
        )


def _targets(rates: Rates, name: str) -> tuple[Target, ...]:
    shares = _SHARES if name == _PRODUCT else ()
    return tuple(
        Target.share_of(rates[other], share, why) for other, share, why in shares if other in rates
    )


def _script(org: SimulatorProcess, way: str, records: int, run: Run) -> dict[str, float]:
    if way == "product":
        configure(run, org, LISTENER)
    known = {"ORG_URL": org.url, "ORG_CLIENT_ID": org.credentials["client_id"]}
    run.environment |= {**known, "ORG_CLIENT_SECRET": org.credentials["client_secret"]}
    of_database = run.database_cpu()
    said = json.loads(run.python("-m", "benchmarks.mirror_load", way).splitlines()[-1])
    of_database = run.database_cpu() - of_database
    [rows] = run.database.row("SELECT count(*) FROM mirrored_asset")
    if rows != records:
        raise RuntimeError(f"{rows} of {records} records were loaded")
    each = 1e6 / records
    cpu = {CPU: each * said["cpu"], DATABASE_CPU: each * of_database}
    return {ROWS: records / said["seconds"], MEMORY: said["memory"], **cpu}


def main(way: str) -> None:
    ways: dict[str, Callable[[], Spent]] = {"product": load_product, "floor": _floor, "peer": _peer}
    seconds, cpu = ways[way]()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "memory": memory, "cpu": cpu}))


class _Clock:
    def __init__(self) -> None:
        self._began, self._cpu = time.monotonic(), time.process_time()

    def spent(self) -> Spent:
        return time.monotonic() - self._began, time.process_time() - self._cpu


def load_product() -> Spent:
    """Measure the load as a worker runs it, from its first slice to the end of its sweep."""
    import django

    django.setup()
    from django.db import transaction
    from django.utils import timezone

    from audit.action_log import Actor
    from listeners.models import Listener, Position
    from mirror import kinds, service
    from mirror.models import Mirror, MirrorRun

    now = timezone.now()
    listener = Listener.objects.get(name="bench")
    live = {"state": "receiving", "replay_id": "1", "holder": "bench", "last_received_at": now}
    until = now + timedelta(hours=1)
    Position.objects.update_or_create(listener=listener, defaults={**live, "lease_until": until})
    with transaction.atomic():
        mirror = service.store(
            Mirror(model="mirrored.Asset", listener=listener), Actor("bench", "bench")
        )
    run = MirrorRun.objects.get(mirror=mirror)
    clock = _Clock()
    while not run.is_over:
        kinds.work(run.pk)
        run.refresh_from_db()
        time.sleep(0.02)
    if not run.is_right:
        raise RuntimeError(run.error)
    return clock.spent()


def _token() -> dict[str, Any]:
    keys = ("ORG_URL", "ORG_CLIENT_ID", "ORG_CLIENT_SECRET")
    return log_in(*(os.environ[key] for key in keys))


def pages_of(url: str, access_token: str) -> Iterator[requests.Response]:
    """The pages of a job that reads the fields that a mirror's load reads, as it reads them."""
    http = requests.Session()
    http.trust_env = False
    http.headers["Authorization"] = f"Bearer {access_token}"
    jobs = f"{url}/services/data/v67.0/jobs/query"
    query = {"operation": "queryAll", "query": f"SELECT {', '.join(FIELDS)} FROM {ENTITY}"}
    job = f"{jobs}/{http.post(jobs, json=query, timeout=60).json()['id']}"
    while http.get(job, timeout=60).json()["state"] != "JobComplete":
        time.sleep(0.1)
    locator = ""
    while locator != "null":
        wanted = {"maxRecords": "20000", **({"locator": locator} if locator else {})}
        page = http.get(f"{job}/results", params=wanted, timeout=600)
        yield page
        locator = page.headers["Sforce-Locator"]


def _floor() -> Spent:
    """Download the pages of a job, parse them, and COPY the texts into the table."""
    import psycopg

    access_token = _token()["access_token"]
    names = [_column(field) for field in FIELDS if field != "SystemModstamp"]
    left_out = FIELDS.index("SystemModstamp")
    copy_into = f"COPY mirrored_asset ({', '.join(names)}, is_complete, raw) FROM STDIN"
    clock = _Clock()
    with psycopg.connect(os.environ["DATABASE_URL"]) as database:
        for page in pages_of(os.environ["ORG_URL"], access_token):
            rows = csv.reader(io.StringIO(page.content.decode(), newline=""))
            next(rows)
            with database.cursor() as cursor, cursor.copy(copy_into) as copy:
                for row in rows:
                    del row[left_out]
                    copy.write_row([*(text or None for text in row), "true", "{}"])
            database.commit()
    return clock.spent()


def _column(field: str) -> str:
    known = {"Id": "salesforce_id", "LastModifiedDate": "version"}
    if field in known:
        return known[field]
    bare = field.removesuffix("__c")
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in bare).lstrip("_")


class _PlainSession(requests.Session):
    """Sends over HTTP what simple-salesforce sends over HTTPS: the org is on this machine."""

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        return super().request(method, str(url).replace("https:", "http:", 1), *args, **kwargs)


def _peer() -> Spent:
    """The usual way to load records: simple-salesforce's Bulk 2.0 client and `bulk_create`."""
    import django

    django.setup()
    from simple_salesforce.api import Salesforce

    from benchmarks.mirrored.models import Asset

    token = _token()
    http = _PlainSession()
    org = Salesforce(
        instance_url=token["instance_url"],
        session_id=token["access_token"],
        session=http,
        version="67.0",
    )
    names = {field: _column(field) for field in FIELDS if field != "SystemModstamp"}
    texts = {field for field in names if field.startswith(("Text", "Id", "Name"))}
    flags = {field for field in names if field.startswith(("Flag", "IsDeleted"))}
    clock = _Clock()
    for page in getattr(org.bulk2, ENTITY).query(f"SELECT {', '.join(FIELDS)} FROM {ENTITY}"):
        assets = []
        for row in csv.DictReader(io.StringIO(page, newline="")):
            values: dict[str, Any] = {
                name: row[field] or (None if field not in texts else "")
                for field, name in names.items()
            }
            values |= {names[field]: row[field] == "true" for field in flags}
            assets.append(Asset(**values))
        Asset.objects.bulk_create(
            assets,
            batch_size=1000,
            update_conflicts=True,
            unique_fields=["salesforce_id"],
            update_fields=[name for name in names.values() if name != "salesforce_id"],
        )
    return clock.spent()


if __name__ == "__main__":
    main(sys.argv[1])
