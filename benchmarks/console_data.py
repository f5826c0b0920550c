"""An audit log of any size, made by the database itself: a few busy records, many quiet ones."""

from datetime import UTC, datetime
from typing import Any

from django.db import connection

from listeners.models import Connection, Listener

BATCH = 500_000
DAYS = 30
BEGAN = datetime(2026, 10, 1, tzinfo=UTC)
_TABLES = ("audit_auditlogentry", "handlers_delivery")

#: Entry g of {total}. Three in a transaction; one record in a hundred changes is a busy one.
_ENTRIES = """
INSERT INTO audit_auditlogentry (listener_id, channel, entity_name, record_id, change_type,
    change_origin, transaction_key, sequence_number, commit_timestamp, commit_number, commit_user,
    replay_id, event_uuid, record_count, changed_fields, nulled_fields, changed_data, source,
    received_at)
SELECT {first_listener} + CASE WHEN g % 1000 = 7 THEN 2 WHEN g % 10 = 3 THEN 1 ELSE 0 END,
    '/data/ChangeEvents',
    (ARRAY['Account','Contact','Opportunity','Invoice__c','Rare__c'])[
        CASE WHEN g % 50000 = 11 THEN 5 WHEN kind < 40 THEN 1 WHEN kind < 70 THEN 2
             WHEN kind < 90 THEN 3 ELSE 4 END],
    (ARRAY['001','003','006','a01'])[1 + (r % 4)::int] || '5g' || lpad(r::text, 10, '0') || 'AAA',
    CASE WHEN g % 100000 = 5 THEN 'GAP_UPDATE' WHEN kind < 75 THEN 'UPDATE'
         WHEN kind < 95 THEN 'CREATE' WHEN kind < 99 THEN 'DELETE' ELSE 'UNDELETE' END,
    'com/salesforce/api/rest/67.0;client=app' || g % 7,
    substr(md5((g / 3)::text), 1, 8) || '-' || substr(md5((g / 3)::text), 9, 4) || '-'
        || substr(md5((g / 3)::text), 13, 4) || '-' || substr(md5((g / 3)::text), 17, 4) || '-'
        || substr(md5((g / 3)::text), 21, 12),
    1 + g % 3, (extract(epoch FROM received) * 1000)::bigint - 700, 10000 + g,
    '0055g' || lpad((CASE WHEN g % 20000 = 1 THEN 999 ELSE kind % 40 END)::text, 10, '0') || 'AAA',
    (1000 + g)::text, '', 1, '["Phone", "Name.FirstName", "LastModifiedDate"]', '[]',
    jsonb_build_object('Phone', '+49 30 ' || g, 'Name', jsonb_build_object('FirstName', 'N' || g),
        'LastModifiedDate', '2026-11-25T12:00:00.000Z', 'Description', repeat('words ', 20)),
    CASE WHEN g % 100000 = 5 THEN 'reconcile' ELSE 'stream' END, received
FROM (
    SELECT g, (hashint8(g) & 2147483647) % 100 AS kind,
        CASE WHEN g % 100 = 1 THEN g % 5 ELSE (hashint8(g + 1) & 2147483647) % ({total} / 8 + 1) END
            AS r,
        '{began}'::timestamptz + g * interval '{days} days' / {total} AS received
    FROM generate_series({since}::bigint, {until}::bigint) AS g
) AS rows
"""

#: Four of five entries have one.
_DELIVERIES = """
INSERT INTO handlers_delivery (entry_id, handler, is_external, queue, chain, state, awaits_record,
    halts, attempts, attempts_before, error, created_at, due_at, finished_at)
SELECT id, CASE WHEN id % 100000 = 3 THEN 'rare.handler' WHEN id % 3 = 0 THEN 'crm.sync'
        ELSE 'handlers.log_change' END,
    false, '', '1:' || record_id, CASE WHEN id % 20000 = 4 THEN 'dead' WHEN id % 50000 = 7
        THEN 'skipped' ELSE 'succeeded' END,
    false, false, 1, 0, '', received_at, NULL, received_at + interval '1 second'
FROM audit_auditlogentry WHERE id % 5 <> 0
"""


def is_empty() -> bool:
    return not _rows("SELECT 1 FROM audit_auditlogentry LIMIT 1")


def size() -> int:
    return int(_rows("SELECT max(id) FROM audit_auditlogentry")[0][0])


def fill(total: int) -> None:
    """Indexes are built at the end, as a restored dump's are."""
    org = Connection.objects.create(name="bench", base_url="http://localhost")
    names = ("prod", "sandbox", "seldom")
    listeners = [Listener.objects.create(name=name, connection=org) for name in names]
    indexes = [row[0] for row in _rows(_INDEXES)]
    for name in (row[1] for row in _rows(_INDEXES)):
        _run(f'DROP INDEX "{name}"')
    fixed = {"total": total, "first_listener": listeners[0].pk, "days": DAYS, "began": BEGAN}
    for since in range(1, total + 1, BATCH):
        _run(_ENTRIES.format(since=since, until=min(since + BATCH - 1, total), **fixed))
    _run(_DELIVERIES)
    for definition in indexes:
        _run(definition)
    for table in _TABLES:
        _run(f"VACUUM ANALYZE {table}")


#: What no constraint stands on.
_INDEXES = f"""
SELECT indexdef, indexname FROM pg_indexes WHERE tablename IN {_TABLES}
    AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""


def _rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '512MB'")
        cursor.execute("SET session_replication_role = 'replica'")  # each reference is right
        cursor.execute(sql)
