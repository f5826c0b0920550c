"""`python -m benchmarks.peer.run CHANGES`: receive, one `create` and one `delay` for each event.

Configured by the same environment variables as `benchmarks.floor`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import django
from aiosfstream_ng.auth import PasswordAuthenticator
from aiosfstream_ng.client import Client
from aiosfstream_ng.replay import ReplayOption
from asgiref.sync import sync_to_async
from celery import Celery
from django.db import connection

app = Celery("peer")
app.config_from_object("django.conf:settings", namespace="CELERY")


def handle(change_id: int) -> None:
    """Do nothing: the peer's task, for which no worker runs."""


handle_change = app.task(handle, name="peer.handle")


class _Login(PasswordAuthenticator):
    """Logs in at the simulator with a username and a password."""

    @property
    def _token_url(self) -> str:
        return f"{os.environ['ORG_URL']}/services/oauth2/token"


def keep(message: dict[str, Any]) -> None:
    from benchmarks.peer.models import ChangeLog

    payload = message["data"]["payload"]
    header = payload["ChangeEventHeader"]
    change = ChangeLog.objects.create(
        entity=header["entityName"],
        record_id=header["recordIds"][0],
        change_type=header["changeType"],
        replay_id=message["data"]["event"]["replayId"],
        payload=payload,
    )
    handle_change.delay(change.pk)


async def receive(changes: int) -> None:
    environment = os.environ
    login = _Login(
        consumer_key=environment["ORG_CLIENT_ID"],
        consumer_secret=environment["ORG_CLIENT_SECRET"],
        username=environment["ORG_USERNAME"],
        password=environment["ORG_PASSWORD"],
    )
    record = sync_to_async(keep)
    async with Client(login, replay=ReplayOption.ALL_EVENTS) as client:
        await client.subscribe(environment["ORG_CHANNEL"])
        subscribed, cpu, done = time.time(), time.process_time(), 0
        while done < changes:
            await record(await client.receive())
            done += 1
        cpu = time.process_time() - cpu
        json.dump({"subscribed": subscribed, "done": time.time(), "cpu": cpu}, sys.stdout)
        sys.stdout.flush()


if __name__ == "__main__":
    django.setup()
    from benchmarks.peer.models import ChangeLog

    with connection.schema_editor() as editor:
        editor.create_model(ChangeLog)
    asyncio.run(receive(int(sys.argv[1])))
