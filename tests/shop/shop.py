"""A Celery project of its own that knows nothing of the product, started with `celery -A shop`."""

import json
import os
import signal
import time
from pathlib import Path

from celery import Celery

app = Celery(
    "shop", broker=os.environ["SHOP_BROKER"], backend=os.environ.get("SHOP_BACKEND") or None
)


def note(event, task):
    """Append a line for a run: task, record, sequence number, attempt."""
    with Path(os.environ["SHOP_JOURNAL"] + ".events").open("a") as events:
        events.write(json.dumps(event) + "\n")
    about = event["metadata"]
    line = f"{task} {about['recordId']} {event['id']} {event['attempt']}\n"
    with Path(os.environ["SHOP_JOURNAL"]).open("a") as journal:
        journal.write(line)


@app.task
def sync(event):
    note(event, "sync")


@app.task
def fail(event):
    note(event, "fail")
    raise ValueError("no such account")


@app.task
def fail_first(event):
    note(event, "fail_first")
    if event["attempt"] == 1:
        raise ValueError("no such account yet")


@app.task(bind=True, max_retries=2, default_retry_delay=0.05)
def retry_twice(self, event):
    note(event, "retry_twice")
    raise self.retry()


@app.task
def sleep_first(event):
    note(event, "sleep_first")
    if event["attempt"] == 1:
        time.sleep(60)


@app.task
def die_first(event):
    note(event, "die_first")
    if event["attempt"] == 1:
        os.killpg(os.getpgrp(), signal.SIGKILL)


@app.task
def return_an_object(event):
    note(event, "return_an_object")
    return object()


@app.task(bind=True)
def take_parts(self, region, changedData, metadata, *, dry_run):
    """Fail unless the message is composed as its mapping's options say."""
    request = self.request
    got = (region, dry_run, request.headers["tenant"], request.delivery_info["priority"])
    assert got == ("eu", True, "acme", 3), got
    assert request.expires, request.expires
    note({"metadata": metadata, "id": changedData["Number"], "attempt": 1}, "take_parts")
