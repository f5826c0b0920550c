"""Fills a database with a big installation, in SQL: 200 listeners with any number of audit log
entries, their deliveries and attempts, incidents and action log rows."""

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from benchmarks import console_rows as rows
from handlers.models import HandlerMapping, Redelivery, Worker
from listeners.models import Connection, Listener, Position

BATCH = 500_000
LISTENERS = 200
#: Among them, by place: of one hardly anything comes, of another nothing any more.
SELDOM, IDLE = LISTENERS - 1, LISTENERS - 2
INCIDENTS, ACTIONS, WORKERS, REDELIVERIES = 5000, 20_000, 8, 300
_TABLES = (
    "audit_auditlogentry",
    "audit_throughput",
    "handlers_delivery",
    "handlers_deliveryattempt",
)


def is_empty() -> bool:
    return not _rows("SELECT 1 FROM audit_auditlogentry LIMIT 1")


def size() -> int:
    return int(_rows("SELECT max(id) FROM audit_auditlogentry")[0][0])


def newest() -> datetime:
    moment: datetime = _rows("SELECT max(received_at) FROM audit_auditlogentry")[0][0]
    return moment


def listener_name(place: int) -> str:
    return {0: "prod", 1: "sandbox", SELDOM: "seldom", IDLE: "idle"}.get(place, f"org{place:03}")


def fill(total: int, newest: datetime) -> None:
    """Fill an empty database with `total` entries, the newest received then; indexes are built
    last, as in a restore."""
    first = _make_listeners()
    fixed = {
        "total": total,
        "recent": total - total // 20,
        "days": rows.DAYS,
        "now": newest,
        "first_listener": first,
        "first_mapping": _make_mappings(first),
        "first_redelivery": _make_redeliveries(),
        "redeliveries": REDELIVERIES,
        "seldom": SELDOM,
        "idle": IDLE,
        "error": rows.ERROR,
    }
    indexes = _rows(rows.INDEXES.format(tables=_TABLES))
    for _, name in indexes:
        _run(f'DROP INDEX "{name}"')
    for since in range(1, total + 1, BATCH):
        span = {"since": since, "until": min(since + BATCH - 1, total)}
        _run(rows.ENTRIES.format(**span, **fixed))
        _run(rows.DELIVERIES.format(**span, **fixed))
    for made in (rows.ATTEMPTS, rows.THROUGHPUT):
        _run(made)
    _run(rows.INCIDENTS.format(incidents=INCIDENTS, **fixed))
    _run(rows.ACTIONS.format(actions=ACTIONS, **fixed))
    for definition, _ in indexes:
        _run(definition)
    _run(
        "SELECT setval(pg_get_serial_sequence('audit_auditlogentry', 'id'), max(id)) "
        "FROM audit_auditlogentry"
    )
    _run("VACUUM ANALYZE")


def bring_up_to_date() -> None:
    """Renew the rows that pages show as current: today's traffic, leases and workers."""
    _run(rows.TRAFFIC_OF_TODAY)
    now = timezone.now()
    Position.objects.update(
        lease_until=now + timedelta(hours=3), last_received_at=now, last_event_at=now
    )
    Worker.objects.update(seen_at=now + timedelta(hours=3))
    _run("VACUUM ANALYZE audit_throughput, listeners_position, handlers_worker")


def _make_listeners() -> int:
    org = Connection.objects.create(name="bench", base_url="http://localhost")
    names = map(listener_name, range(LISTENERS))
    made = Listener.objects.bulk_create(Listener(name=name, connection=org) for name in names)
    now = timezone.now()
    Position.objects.bulk_create(
        Position(
            listener=listener,
            holder="host-1:4711",
            state=Position.State.RECEIVING,
            state_since=now,
            replay_id="1000",
            epoch=1,
        )
        for listener in made
    )
    Worker.objects.bulk_create(
        Worker(name=f"celery@worker{n}", pid=1, queues=["cdc"], started_at=now, seen_at=now)
        for n in range(WORKERS)
    )
    return _first(made)


def _make_mappings(first_listener: int) -> int:
    """Make five mappings a listener, in the order that `console_rows.DELIVERIES` relies on."""
    of_each = (
        ("create", "handlers.log_change"),
        ("update", "handlers.log_change"),
        ("delete", "handlers.log_change"),
        ("restore", "handlers.log_change"),
        ("update", "crm.sync"),
    )
    return _first(
        HandlerMapping.objects.bulk_create(
            HandlerMapping(listener_id=first_listener + place, on=on, handler=handler)
            for place in range(LISTENERS)
            for on, handler in of_each
        )
    )


def _make_redeliveries() -> int:
    now = timezone.now()
    return _first(
        Redelivery.objects.bulk_create(
            Redelivery(
                requested_by=f"user{number % 30}",
                requested_at=now,
                handler="crm.sync",
                state=Redelivery.State.DONE,
                total=100,
                done=100,
                count=100,
                started_at=now,
                finished_at=now,
            )
            for number in range(REDELIVERIES)
        )
    )


def _first(made: list[Any]) -> int:
    """Return the id of the first row. Raises RuntimeError if the ids are not consecutive."""
    first = int(made[0].pk)
    if [row.pk for row in made] != list(range(first, first + len(made))):
        raise RuntimeError("another process writes to this database")
    return first


def _rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute("SET session_replication_role = 'replica'")  # each reference is right
        cursor.execute(sql)
