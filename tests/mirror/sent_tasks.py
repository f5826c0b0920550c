"""The task messages that wait for a worker."""

import json
from typing import Any

from cdcproject.celery import app


def sent(task: str) -> list[dict[str, Any]]:
    """Return the arguments of each message of a task."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        messages = [json.loads(text) for text in channel.client.lrange("cdc", 0, -1)]
        return [
            json.loads(channel.decode_body(message["body"], "base64"))[1]
            for message in messages
            if message["headers"]["task"] == task
        ]
