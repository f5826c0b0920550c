"""`python -m benchmarks.send_external COUNT`: tasks for the shop, sent by Celery's own `send_task`
with the two callbacks that report their end, and without anyone who reads the reports."""

from __future__ import annotations

import json
import sys
import time

from celery.canvas import Signature

from benchmarks.shop import QUEUE, REPORTS, TASK, app

#: The size of the product's messages.
_TOKEN = "12345678:1:{}:" + "s" * 43
_EVENT = {
    "id": 1,
    "listener": "bench",
    "replayId": "1234567",
    "attempt": 1,
    "changedData": {
        "Phone": "+1 415 556 0000001",
        "Description": "Renewal 1 is at risk: the champion left.",
        "AnnualRevenue": 1001.5,
        "NumberOfEmployees": 4,
        "LastModifiedDate": "2026-01-01T00:00:00.000Z",
    },
    "metadata": {
        "entityName": "Account",
        "changeType": "UPDATE",
        "changeOrigin": "com/salesforce/api/soap/61.0;client=SfdcInternalAPI/",
        "transactionKey": "0001a2b3-c4d5-e6f7-0000-000000000000",
        "sequenceNumber": 1,
        "commitTimestamp": 1767225600000,
        "commitNumber": 1234567890,
        "commitUser": "005000000000001AAA",
        "recordId": "001000000000001AAA",
        "recordIds": ["001000000000001AAA"],
        "changedFields": None,
        "nulledFields": [],
        "diffFields": [],
        "extra": {},
    },
    "supersededFields": [],
}


def main(count: int) -> None:
    began, cpu = time.time(), time.process_time()
    for number in range(count):
        app.send_task(
            TASK,
            kwargs={"event": _EVENT},
            queue=QUEUE,
            task_id=f"bench-{number}",
            link=_report("succeeded"),
            link_error=_report("failed"),
        )
    json.dump({"began": began, "cpu": time.process_time() - cpu}, sys.stdout)


def _report(outcome: str) -> Signature:
    # The type keeps Celery from putting its default queue in the place of the default exchange.
    options = {
        "exchange": "",
        "exchange_type": "topic",
        "routing_key": REPORTS,
        "declare": [],
        "ignore_result": True,
    }
    return Signature(
        "cdc.report", args=[_TOKEN.format(outcome)], options=options, immutable=True, app=app
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
