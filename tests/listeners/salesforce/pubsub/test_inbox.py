"""The inbox keeps events and failures in order between a subscription and its polls."""

from __future__ import annotations

import pytest

from listeners.salesforce.errors import TransportFailed
from listeners.salesforce.pubsub.inbox import Inbox
from tests.listeners.salesforce.pubsub.scripted_events import event, replay_id


def test_nothing_that_was_on_its_way_comes_after_what_was_dropped():
    inbox = Inbox(lambda: None)
    inbox.put([event(1), event(2)], b"")
    inbox.fail_at_once(TransportFailed("no schema"))
    inbox.put([event(3)], b"")
    inbox.put([], replay_id(4))

    with pytest.raises(TransportFailed, match="no schema"):
        inbox.take(10)
    assert inbox.has_failed
