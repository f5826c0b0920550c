from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from listeners.salesforce.pubsub import schema_source
from listeners.salesforce.pubsub.schema_source import SchemaCache
from listeners.salesforce.pubsub.stream import PubSubStream
from tests.listeners.salesforce.pubsub.scripted import Script, ScriptedPubSub
from tests.listeners.salesforce.pubsub.streams import stream_to

Serve = Callable[..., ScriptedPubSub]
Connect = Callable[..., PubSubStream]


@pytest.fixture(autouse=True)
def _no_schema_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_source, "SCHEMAS", SchemaCache())


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that plays the given scripts."""
    with ExitStack() as running:

        def start(*scripts: Script) -> ScriptedPubSub:
            return running.enter_context(ScriptedPubSub(*scripts))

        yield start


@pytest.fixture
def connect(serve: Serve) -> Iterator[Connect]:
    """Makes a stream to a server, and closes it before the server ends."""
    with ExitStack() as made:

        def make(server: ScriptedPubSub, **options: Any) -> PubSubStream:
            return made.enter_context(closing(stream_to(server.endpoint, **options)))

        yield make
