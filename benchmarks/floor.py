"""The floor: the minimal work for each change, in a script without a framework.

    python -m benchmarks.floor CHANGES     configured by the environment: see `main`

It decodes CometD's answers, writes an audit row, an outbox row and the position in one transaction
for each answer, by COPY, publishes Celery's messages in one pipeline, and marks them. In its only
process one thread receives while the other writes, as in the product.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import redis
from psycopg.types.json import Jsonb

from benchmarks.bayeux import BareClient, log_in

TABLES = """
CREATE TABLE floor_entry (
    id bigint PRIMARY KEY, transaction_key text NOT NULL, sequence_number bigint NOT NULL,
    entity_name text NOT NULL, record_id text NOT NULL, change_type text NOT NULL,
    commit_timestamp bigint NOT NULL, replay_id text NOT NULL, changed_data jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    UNIQUE (transaction_key, sequence_number, record_id, entity_name, change_type)
);
CREATE TABLE floor_outbox (
    id bigint PRIMARY KEY, entry_id bigint NOT NULL, state text NOT NULL, created_at timestamptz
);
CREATE INDEX floor_ready ON floor_outbox (id) WHERE state = 'ready';
CREATE TABLE floor_position (channel text PRIMARY KEY, replay_id text NOT NULL);
"""
_COPY_ENTRIES = "COPY floor_entry FROM STDIN"
_COPY_OUTBOX = "COPY floor_outbox FROM STDIN"
_POSITION = """
INSERT INTO floor_position VALUES (%s, %s)
ON CONFLICT (channel) DO UPDATE SET replay_id = excluded.replay_id
"""
_MARK = "UPDATE floor_outbox SET state = 'queued' WHERE id BETWEEN %s AND %s AND state = 'ready'"
_TASK = "bench.task"
_PATIENCE_SECONDS = 120
Row = tuple[Any, ...]


class Receiver(threading.Thread):
    """Puts the events of each answer into `answers`, until it has received `changes` events."""

    def __init__(self, client: BareClient, changes: int) -> None:
        super().__init__(daemon=True)
        self.answers: queue.Queue[list[dict[str, Any]]] = queue.Queue(maxsize=2)
        self._client = client
        self._left = changes

    def run(self) -> None:
        while self._left > 0:
            if events := self._client.poll():
                self._left -= len(events)
                self.answers.put(events)


def main(changes: int) -> None:
    environment = os.environ
    channel = environment["ORG_CHANNEL"]
    keys = ("ORG_URL", "ORG_CLIENT_ID", "ORG_CLIENT_SECRET")
    client = BareClient(log_in(*(environment[key] for key in keys)), channel)
    with psycopg.connect(environment["DATABASE_URL"]) as database:
        broker = redis.Redis.from_url(environment["CELERY_BROKER_URL"])
        database.execute(TABLES)
        database.commit()
        client.subscribe()
        subscribed, cpu = time.time(), time.process_time()
        receiver = Receiver(client, changes)
        receiver.start()
        done = 0
        while done < changes:
            done += _take(
                database, broker, channel, receiver.answers.get(timeout=_PATIENCE_SECONDS), done
            )
        cpu = time.process_time() - cpu
        json.dump({"subscribed": subscribed, "done": time.time(), "cpu": cpu}, sys.stdout)


def _take(
    database: psycopg.Connection[Any],
    broker: redis.Redis,
    channel: str,
    events: Sequence[dict[str, Any]],
    before: int,
) -> int:
    now = datetime.now(UTC)
    rows = [row for event in events for row in _decode(event, now)]
    ids = range(before + 1, before + 1 + len(rows))
    _record(database, channel, [(number, *row) for number, row in zip(ids, rows, strict=True)])
    _publish(broker, ids)
    database.execute(_MARK, [ids[0], ids[-1]])
    database.commit()
    return len(rows)


def _decode(event: dict[str, Any], now: datetime) -> list[Row]:
    payload = event["data"]["payload"]
    header = payload.pop("ChangeEventHeader")
    replay_id = str(event["data"]["event"]["replayId"])
    data = Jsonb(payload)
    return [
        (
            header["transactionKey"],
            header["sequenceNumber"],
            header["entityName"],
            record_id,
            header["changeType"],
            header["commitTimestamp"],
            replay_id,
            data,
            now,
        )
        for record_id in header["recordIds"]
    ]


def _record(database: psycopg.Connection[Any], channel: str, rows: Sequence[Row]) -> None:
    with database.cursor() as cursor:
        with cursor.copy(_COPY_ENTRIES) as copy:
            for row in rows:
                copy.write_row(row)
        with cursor.copy(_COPY_OUTBOX) as copy:
            for row in rows:
                copy.write_row((row[0], row[0], "ready", row[-1]))
        cursor.execute(_POSITION, [channel, rows[-1][7]])
    database.commit()


def _publish(broker: redis.Redis, ids: Sequence[int]) -> None:
    with broker.pipeline(transaction=False) as pipeline:
        for number in ids:
            pipeline.lpush("cdc", _message(number))
        pipeline.execute()


def _message(number: int) -> str:
    """Return a task message in the form in which Celery reads it from Redis."""
    task_id = f"floor-{number}"
    empty = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([[], {"delivery_id": number}, empty])
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "py",
                "task": _TASK,
                "id": task_id,
                "root_id": task_id,
                "parent_id": None,
                "group": None,
                "ignore_result": True,
            },
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "cdc"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
