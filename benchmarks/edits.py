"""Measures how long edits of mappings keep changes from being recorded while a million deliveries
wait: the longest wait of another process for the lock of the listener's position."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import django

from benchmarks.figures import Figure, Report, Target
from benchmarks.stage import Stage

_TARGET = Target(200, "recording waits no longer", at_most=True)
#: How long the relay may move deliveries after each edit, and the pause between two tries to lock.
_SECONDS, _PAUSE = 30.0, 0.002
#: Records in the batch that is recorded after each edit.
_BATCH = 200
_ENTRIES = """
INSERT INTO audit_auditlogentry (id, listener_id, channel, entity_name, record_id, change_type,
    change_origin, transaction_key, sequence_number, commit_timestamp, commit_number, commit_user,
    replay_id, event_uuid, record_count, changed_fields, nulled_fields, changed_data, source,
    received_at)
SELECT g, {listener}, '/data/ChangeEvents', 'Account',
    '0015g' || lpad((g % ({total} / 4))::text, 10, '0') || 'AAA', 'UPDATE', '', md5(g::text), 1,
    1000, g, '', g::text, '', 1, '["Phone"]', '[]', '{{"Phone": "1"}}', 'stream', now()
FROM generate_series({since}::bigint, {until}) AS g
"""
_DELIVERIES = """
INSERT INTO handlers_delivery (entry_id, mapping_id, handler, is_external, queue, chain, state,
    awaits_record, halts, attempts, attempts_before, error, error_group, created_at, paused,
    may_be_overtaken, is_tracked, awaits_mirror, worker)
SELECT id, {mapping}, 'bench.empty', false, '', {mapping} || ':' || record_id,
    CASE WHEN id <= {total} / 4 THEN 'ready' ELSE 'blocked' END, false, false, 0, 0, '', '', now(),
    false, false, false, false, ''
FROM audit_auditlogentry
"""


def measure(stage: Stage, report: Report, deliveries: int) -> None:
    with stage.run() as run:
        lines = run.python("-m", "benchmarks.edits", str(deliveries)).splitlines()
    for line in lines:
        found = json.loads(line)
        about = f"{found['edit']}, {deliveries:,} deliveries wait"
        for what in ("edit", "recording", "relay"):
            values = (found[f"{what} ms"],)
            report.figures.append(Figure(f"{about}: {what}", "ms at most", values, (_TARGET,)))
        report.figures.append(Figure(f"{about}: moved", "deliveries/s", (found["rate"],)))


class _Waiter(threading.Thread):
    """Locks the position again and again, as recording does, and notes the longest wait."""

    def __init__(self, url: str, listener_id: int) -> None:
        super().__init__(daemon=True)
        self._url, self._listener_id = url, listener_id
        self._longest, self._is_over = 0.0, threading.Event()

    def run(self) -> None:
        import psycopg

        lock = (
            f"SELECT 1 FROM listeners_position WHERE listener_id = {self._listener_id} FOR UPDATE"
        )
        with psycopg.connect(self._url) as connection:
            while not self._is_over.wait(_PAUSE):
                began = time.monotonic()
                connection.execute(lock)
                connection.commit()
                self._longest = max(self._longest, time.monotonic() - began)

    def __enter__(self) -> _Waiter:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def take(self) -> float:
        """Return the longest wait since the last call, in milliseconds."""
        time.sleep(3 * _PAUSE)  # a wait that is just ending
        longest, self._longest = self._longest, 0.0
        return longest * 1000


def main(total: int) -> None:
    from handlers.models import HandlerMapping
    from handlers.ordering import rechain
    from listeners.models import Position

    listener, mapping = _fill(total)
    move_on = getattr(rechain, "move_on", lambda: 0)
    edits: dict[str, Callable[[], None]] = {
        "another handler": lambda: _edit(mapping, handler="bench.upsert"),
        "the handler of another mapping": lambda: _edit(mapping, handler="bench.empty_batch"),
        "a handler of its own again": lambda: _edit(mapping, handler="bench.upsert"),
        "unordered": lambda: _edit(mapping, ordering="unordered"),
        "in order again": lambda: _edit(mapping, ordering="per_record"),
        "after the mirror": lambda: _after_mirror(listener, mapping),
        "no handler": lambda: _edit(mapping, handler=""),
        "deleted": lambda: HandlerMapping.objects.filter(pk=mapping.pk).delete() and None,
    }
    with _Waiter(os.environ["DATABASE_URL"], listener.pk) as waiter:
        for batch, (name, edit) in enumerate(edits.items()):
            waiter.take()
            edit()
            found: dict[str, Any] = {"edit": name, "edit ms": waiter.take()}
            _record(listener, total, batch)
            found["recording ms"] = waiter.take()
            began, seen = time.monotonic(), 0
            while Position.objects.exclude(moving={}).exists():
                seen += move_on()
                if time.monotonic() - began > _SECONDS:
                    break
            found["relay ms"] = waiter.take()
            found["rate"] = seen / (time.monotonic() - began)
            print(json.dumps(found), flush=True)


def _edit(mapping: Any, **fields: str) -> None:
    """Edit a mapping as the console and the API do."""
    from django.db import transaction
    from django.utils import timezone

    from handlers.mappings import retarget

    with transaction.atomic():
        for name, value in fields.items():
            setattr(mapping, name, value)
        mapping.save()
        if retarget.ADDRESS.intersection(fields):
            retarget.move_waiting(mapping, timezone.now())


def _after_mirror(listener: Any, mapping: Any) -> None:
    from handlers.models import HandlerMapping
    from handlers.models.mapping import MIRROR_HANDLER

    HandlerMapping.objects.create(
        listener=listener, on="update", entity="Account", handler=MIRROR_HANDLER, managed=True
    )
    _edit(mapping, after="mirror")


def _record(listener: Any, total: int, batch: int) -> None:
    """Add deliveries of a batch of changes of records whose earlier ones wait."""
    from django.db import transaction

    from audit.models import AuditLogEntry
    from handlers.models import HandlerMapping
    from handlers.outbox.create import deliver
    from listeners.models import Position

    since = total + 1 + batch * _BATCH
    span = {"since": since, "until": since + _BATCH - 1}
    _run(_ENTRIES.format(listener=listener.pk, total=total, **span))
    entries = list(AuditLogEntry.objects.filter(pk__gte=since).order_by("pk"))
    with transaction.atomic():
        Position.objects.lock_listener(listener.pk)
        deliver(entries, list(HandlerMapping.objects.filter(listener=listener)))


def _fill(total: int) -> tuple[Any, Any]:
    """Make a listener with a mapping whose deliveries wait, four of each record."""
    from handlers.models import HandlerMapping
    from listeners.models import Connection, Listener, Position

    org = Connection.objects.create(name="bench", base_url="http://localhost")
    listener = Listener.objects.create(name="bench", connection=org)
    make = HandlerMapping.objects.create
    other = make(listener=listener, on="update", entity="Account", handler="bench.empty_batch")
    mapping = make(listener=listener, on="update", entity="Account", handler="bench.empty")
    Position.objects.create(listener=listener, lanes={row.pk: row.pk for row in (other, mapping)})
    _run(_ENTRIES.format(listener=listener.pk, total=total, since=1, until=total))
    _run(_DELIVERIES.format(mapping=mapping.pk, total=total))
    _run("VACUUM ANALYZE")
    return listener, mapping


def _run(sql: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]))
