"""One run: `python -m tests.chaos.interleave.play` takes a setting as JSON, and prints the
outcome."""

from __future__ import annotations

import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import django

from tests.chaos.interleave.ending import end
from tests.chaos.interleave.stage import Setting, Stage

#: The share of the handler's attempts that fail while it is not healthy.
FAILURE_RATE = 0.25
#: Transactions between two acts of operators.
TRANSACTIONS = 8
#: A run in which nothing has moved for so many seconds is stuck.
PATIENCE = 90.0
LOOK_SECONDS = 0.5
#: The time that handlers get for written changes before operators act.
HANDLING_SECONDS = 0.3


def main() -> int:
    signal.signal(signal.SIGTERM, end)
    wanted = json.loads(sys.argv[1])
    setting = Setting(wanted["database"], wanted["ordering"], wanted["on_dead"], wanted["workers"])
    folder = Path(tempfile.mkdtemp(prefix="cdc-interleave-"))
    with Stage(folder, setting) as stage:
        django.setup()
        report = _play(stage, wanted)
    sys.stdout.write(json.dumps({**wanted, **report, "folder": str(folder)}) + "\n")
    return 1 if report["wrong"] else 0


def _play(stage: Stage, wanted: dict[str, Any]) -> dict[str, Any]:
    from django.db import connection

    from tests.chaos.interleave import copying
    from tests.chaos.interleave.operators import Operators
    from tests.chaos.interleave.org_users import OrgUsers

    with connection.cursor() as cursor:
        for table in copying.TABLES:
            cursor.execute(table)
    copying.set_failure_rate(FAILURE_RATE)
    stage.start_services()
    began = time.monotonic()
    rng = random.Random(wanted["seed"])
    operators = Operators(rng, may_change_order=wanted["ordering"] == "unordered")
    users = OrgUsers(stage.org, rng, wanted["records"])
    while users.changes < wanted["changes"]:
        for _ in range(TRANSACTIONS):
            users.write()
        _keep_pace(users.changes)
        _let_handlers_work()
        operators.act()
    users.restore_some()
    copying.set_failure_rate(0)
    operators.resume_all()
    stuck = _heal(operators, users.changes)
    return {
        "seconds": round(time.monotonic() - began),
        "changes_written": users.changes,
        "acts": dict(operators.done),
        **_figures(),
        "stuck": stuck,
        "wrong": stuck + _differences(stage),
    }


def _keep_pace(written: int) -> None:
    """Wait until the listener has recorded all but the last 100 written changes."""
    from audit.models import AuditLogEntry

    deadline = time.monotonic() + PATIENCE
    while AuditLogEntry.objects.filter(source="stream").count() < written - 100:
        if time.monotonic() > deadline:
            raise TimeoutError("the listener records nothing any more")
        time.sleep(0.05)


def _let_handlers_work() -> None:
    """Wait a limited time for the handlers, so that they handle most changes while they still
    fail."""
    from handlers.models import Delivery

    deadline = time.monotonic() + HANDLING_SECONDS
    waiting = Delivery.objects.filter(state__in=("ready", "queued", "running"), paused=False)
    while waiting.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def _heal(operators: Any, written: int) -> list[str]:
    """Redeliver dead letters until none is left, and return what is stuck."""
    from audit.models import AuditLogEntry, DirtyRecord
    from handlers.models import Delivery, Redelivery

    last: object = None
    moved = time.monotonic()
    while True:
        counts = Delivery.objects.counts()
        recorded = AuditLogEntry.objects.filter(source="stream").count()
        jobs = Redelivery.objects.filter(state__in=Redelivery.UNENDED).count()
        dirty = DirtyRecord.objects.count()
        unended = {state: counts.get(state, 0) for state in Delivery.UNENDED}
        now = (tuple(sorted(counts.items())), recorded, jobs, dirty, _attempts())
        is_quiet = recorded == written and not jobs and not dirty
        if is_quiet and not any(unended.values()) and not counts.get("dead"):
            return []
        busy = sum(count for state, count in unended.items() if state != Delivery.State.BLOCKED)
        if is_quiet and not busy and counts.get("dead"):
            operators.redeliver_what_failed()
        if now != last:
            last, moved = now, time.monotonic()
        if time.monotonic() - moved > PATIENCE:
            return [f"stuck: {counts}, {recorded} of {written} recorded, {dirty} to be read"]
        time.sleep(LOOK_SECONDS)


def _attempts(**wanted: Any) -> int:
    """Count attempts, with the first successes, which have no rows."""
    from handlers.models import Delivery, DeliveryAttempt

    first_successes = Delivery.objects.filter(state="succeeded", attempts=1, **wanted)
    return DeliveryAttempt.objects.filter(**wanted).count() + first_successes.count()


def _figures() -> dict[str, Any]:
    from handlers.models import Delivery, DeliveryAttempt

    since = DeliveryAttempt.objects.filter(outcome="skipped", error__contains="since (entry")
    return {
        "deliveries": Delivery.objects.counts(),
        "attempts": _attempts(),
        "redelivered": _attempts(redelivery__isnull=False),
        "skipped_as_deleted_or_restored": since.count(),
    }


def _differences(stage: Stage) -> list[str]:
    from tests.chaos.interleave.copying import copies

    truth = stage.org.state(events=0)["records"].get("Account", {})
    found = copies()
    wrong = []
    for record_id in sorted(truth.keys() | found.keys()):
        there, copy = truth.get(record_id), found.get(record_id)
        if there is None or copy is None:
            wrong.append(f"{record_id}: {'not in the org' if there is None else 'no copy'}")
            continue
        names = [name for name in there.keys() | copy.keys() if there.get(name) != copy.get(name)]
        wrong += [f"{record_id}.{n}: {copy.get(n)!r}, not {there.get(n)!r}" for n in sorted(names)]
    return wrong


if __name__ == "__main__":
    sys.exit(main())
