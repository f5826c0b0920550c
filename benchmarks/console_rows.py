"""The SQL that makes the rows of a big installation: a few busy listeners and records, many quiet
ones, and some rare values in each list. Entry g of {total} has the id g."""

DAYS = 30

#: Three entries in a transaction; one in a hundred is of a busy record. Those whose deliveries will
#: wait have records of their own: of one chain one delivery is open at a time.
ENTRIES = """
INSERT INTO audit_auditlogentry (id, listener_id, channel, entity_name, record_id, change_type,
    change_origin, transaction_key, sequence_number, commit_timestamp, commit_number, commit_user,
    replay_id, event_uuid, record_count, changed_fields, nulled_fields, changed_data, source,
    received_at)
SELECT g, {first_listener} + CASE WHEN place = 0 THEN {seldom} WHEN g < {total} / 1000 THEN {idle}
        WHEN place < 4000 THEN 0 WHEN place < 6000 THEN 1 WHEN place < 7000 THEN 2
        ELSE 3 + place % ({idle} - 3) END,
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
        (hashint8(g + 7) & 2147483647) % 10000 AS place,
        CASE WHEN g > {total} - 300 THEN {total} + g
             WHEN g % 100 = 1 THEN g % 5
             WHEN g > {recent} AND g % 25 = 6 THEN {total} + g
             WHEN g > {recent} AND g % 100 = 7 THEN {total} + g - 1
             ELSE (hashint8(g + 1) & 2147483647) % ({total} / 8 + 1) END AS r,
        '{now}'::timestamptz - ({total} - g) * interval '{days} days' / {total} AS received
    FROM generate_series({since}::bigint, {until}::bigint) AS g
) AS rows
"""

#: One for each change, and for two updates of three a second one: three deliveries for two entries.
#: `first_mapping` is that of five (see `console_data`) of the first listener.
DELIVERIES = """
INSERT INTO handlers_delivery (entry_id, mapping_id, handler, is_external, queue, chain, state,
    awaits_record, halts, attempts, attempts_before, error, error_group, redelivery_id, created_at,
    due_at, queued_at, started_at, claim_deadline, finished_at, paused, may_be_overtaken,
    is_tracked, awaits_mirror, worker)
SELECT id, mapping, handler, state = 'sent', '', mapping || ':' || record_id, state, false,
    state = 'dead' AND id % 5000 = 4,
    CASE state WHEN 'dead' THEN 5 WHEN 'retrying' THEN 2 WHEN 'succeeded' THEN 1 ELSE 0 END, 0,
    CASE WHEN state IN ('dead', 'retrying') THEN {error} ELSE '' END,
    CASE WHEN state IN ('dead', 'retrying')
        THEN substr(md5(handler || (id / 50) % 7), 1, 16) ELSE '' END,
    CASE WHEN state = 'dead' AND id % 500 = 4
        THEN {first_redelivery} + id / 500 % {redeliveries} END,
    received_at,
    CASE WHEN state = 'retrying' THEN received_at + interval '1 hour' END,
    CASE WHEN state NOT IN ('ready', 'blocked', 'skipped') THEN received_at END,
    CASE WHEN state NOT IN ('ready', 'blocked', 'skipped', 'sent') THEN received_at END,
    CASE WHEN state = 'running' THEN received_at + interval '1 hour' END,
    CASE WHEN state IN ('dead', 'succeeded', 'skipped', 'sent')
        THEN received_at + interval '1 second' END,
    false, false, false, false,
    CASE state WHEN 'succeeded' THEN 'celery@worker' || id % 8 ELSE '' END
FROM (
    SELECT e.*, {first_mapping} + 5 * (listener_id - {first_listener}) + place AS mapping,
        CASE WHEN place < 4 THEN 'handlers.log_change'
             WHEN listener_id = {first_listener} + {seldom} THEN 'rare.handler'
             ELSE 'crm.sync' END AS handler,
        CASE WHEN place = 4 AND id % 50 = 4 THEN 'dead'
             WHEN place < 4 AND id > {total} - 4 THEN 'running'
             WHEN place < 4 AND id > {total} - 300 THEN 'ready'
             WHEN place < 4 AND id > {recent} AND id % 25 = 6 THEN 'retrying'
             WHEN place < 4 AND id > {recent} AND id % 100 = 7 THEN 'blocked'
             WHEN id % 50 = 9 THEN 'skipped' WHEN place = 4 AND id % 50 = 11 THEN 'sent'
             ELSE 'succeeded' END AS state
    FROM audit_auditlogentry e CROSS JOIN LATERAL (
        SELECT CASE change_type WHEN 'CREATE' THEN 0 WHEN 'UPDATE' THEN 1 WHEN 'DELETE' THEN 2
            ELSE 3 END AS place
        UNION ALL SELECT 4 WHERE change_type = 'UPDATE' AND e.id % 3 <> 0
    ) AS wanted
    WHERE e.id BETWEEN {since} AND {until} AND change_type NOT LIKE 'GAP%'
) AS rows
"""

#: Errors whose texts differ from each other, as real ones do.
ERROR = """(ARRAY[
    'KeyError: ''Field' || id % 97 || '__c''',
    'ConnectionError: HTTPSConnectionPool(host=''crm.example.com'', port=443): Max retries exceeded'
        || ' with url: /accounts/' || id,
    'ValidationError: the account ' || record_id || ' is not known to the CRM',
    'IntegrityError: duplicate key value violates unique constraint "account_pkey"' || chr(10)
        || 'DETAIL:  Key (id)=(' || id || ') already exists.',
    'Timeout: no answer within 30 s',
    'HTTPError: 503 Server Error: Service Unavailable for url: https://crm.example.com/' || id,
    'RuntimeError: request ' || transaction_key || ' was refused'])[1 + (id / 50) % 7]"""

#: A first attempt that succeeded has no row.
ATTEMPTS = """
INSERT INTO handlers_deliveryattempt (delivery_id, number, outcome, started_at, finished_at, worker,
    error, traceback)
SELECT d.id, number, CASE WHEN state = 'succeeded' THEN 'succeeded' ELSE 'failed' END,
    started_at + number * interval '1 minute', started_at + number * interval '61 seconds',
    'celery@worker' || d.id % 8, error, CASE WHEN error = '' THEN '' ELSE 'Traceback (most recent '
        || 'call last):' || repeat(chr(10) || '  File "crm/handlers.py", line 12, in sync', 12) END
FROM handlers_delivery d CROSS JOIN LATERAL generate_series(1, attempts) AS number
WHERE state <> 'succeeded' OR attempts > 1
"""

#: By minute, as ingest counts.
THROUGHPUT = """
INSERT INTO audit_throughput (listener_id, minute, events, entries)
SELECT listener_id, date_trunc('minute', received_at), count(*), count(*)
FROM audit_auditlogentry GROUP BY 1, 2 ORDER BY 2
"""

INCIDENTS = """
INSERT INTO audit_incident (listener_id, kind, key, summary, action, remedy, count, opened_at,
    last_seen_at, acknowledged_by, closed_at, closed_by, note, told, notify_attempts)
SELECT {first_listener} + n % 200, (ARRAY['gap', 'overflow', 'outage', 'dead_letters', 'stall',
        'undecodable'])[1 + n % 6], n::text, 'Something of the kind ' || n, '', 'Look at it.', n,
    '{now}'::timestamptz - ({incidents} - n) * interval '8 minutes',
    '{now}'::timestamptz - ({incidents} - n) * interval '7 minutes', '',
    CASE WHEN n % 125 <> 0 THEN '{now}'::timestamptz END, '', '', '{{}}', 0
FROM generate_series(1, {incidents}) AS n
"""

ACTIONS = """
INSERT INTO audit_operatoraction (at, who, through, action, object_type, object_id, object_name,
    reason, details)
SELECT '{now}'::timestamptz - ({actions} - n) * interval '2 minutes', 'user' || n % 30,
    (ARRAY['admin', 'api', 'command'])[1 + n % 3], (ARRAY['change', 'redeliver', 'acknowledge',
        'stop', 'start', 'add', 'delete'])[1 + n % 7], 'listener', ({first_listener} + n % 200),
    'listener' || n % 200, 'Because of ' || n, '{{"fields": ["enabled"]}}'
FROM generate_series(1, {actions}) AS n
"""

#: The last day once more until now, where the folder was filled some time ago.
TRAFFIC_OF_TODAY = """
INSERT INTO audit_throughput (listener_id, minute, events, entries)
SELECT listener_id, minute + past, events, entries FROM audit_throughput, (
    SELECT date_trunc('minute', now()) - max(minute) AS past, max(minute) AS last
    FROM audit_throughput) AS times
WHERE minute > last - interval '1 day' ON CONFLICT DO NOTHING
"""

#: The indexes that belong to no constraint.
INDEXES = """
SELECT indexdef, indexname FROM pg_indexes WHERE tablename IN {tables}
    AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""
