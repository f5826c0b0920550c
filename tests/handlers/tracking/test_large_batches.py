"""Redis gets large messages in several writes, so that they need not be in memory at once."""

import pytest
from redis import Redis

from handlers.external import apps
from handlers.tracking import transmit
from handlers.tracking.transmit import Sent
from handlers.types import Message

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.anywhere,
]

#: The bytes of a write, and the number of writes that four messages of 10 bytes need.
WRITES = {100: 1, 25: 2, 5: 4}


def test_messages_are_written_in_parts(destination, monkeypatch):
    app = apps.app_of(destination)
    messages = [
        Message([pk], 0, "shop.sync", "celery", {}, is_external=True, size=10) for pk in range(4)
    ]
    with Redis.from_url(destination.broker.reveal()) as client:
        transmit.transmit(app, messages, Sent())  # opens the connection
        for number, (most, writes) in enumerate(WRITES.items(), 2):
            monkeypatch.setattr(transmit, "MOST_BYTES", most)
            client.config_resetstat()
            sent = Sent()

            transmit.transmit(app, messages, sent)

            assert (sent.arrived, sent.failure) == (messages, None)
            # The connection is tested before each write.
            assert client.info("commandstats")["cmdstat_ping"]["calls"] == writes
            assert client.llen("celery") == 4 * number
