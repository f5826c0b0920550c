"""A Celery project that knows nothing of the product. It is copied out of the repository, and runs
in a virtual environment of its own.

Its task appends what it does to the file `EFFECTS`, a line each: the lines of all processes are in
the order in which they were written.
"""

import json
import os
import time
import zlib
from typing import Any

from celery import Celery

app = Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ.get("SHOP_RESULTS"))
app.conf.update(
    task_default_queue="shop",
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
)
#: The first attempt of one change in so many fails.
FLAKY = 50


@app.task(name="shop.sync_account", bind=True)
def sync_account(self: Any, event: dict[str, Any]) -> None:
    """Leave a line at the start and at the end."""
    metadata = event["metadata"]
    about = {
        "task": self.request.id,
        "pid": os.getpid(),
        "entry": event["id"],
        "record": metadata["recordId"],
        "transaction": metadata["transactionKey"],
        "number": metadata["sequenceNumber"],
    }
    _write("start", about)
    if event["attempt"] == 1 and is_flaky(about["transaction"], about["number"]):
        _write("failure", about)
        raise ConnectionError("the shop's other system is away")
    _write("success", about)


def is_flaky(transaction: str, number: int) -> bool:
    """Return whether the first attempt for this change fails."""
    return zlib.crc32(f"{transaction}-{number}".encode()) % FLAKY == 0


def _write(what: str, about: dict[str, Any]) -> None:
    line = json.dumps({"what": what, "at": time.time(), **about}) + "\n"
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
