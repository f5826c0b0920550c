"""Streams for tests, with a login that numbers its tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from listeners.salesforce.protocol import StreamOptions
from listeners.salesforce.pubsub.stream import PubSubStream
from listeners.salesforce.tokens.tokens import Token

CHANNEL = "/data/AccountChangeEvent"
ORG = "00D000000000001EAA"
SECRET = "s3cr3t"


class NumberedTokens:
    """Gives each login the next number; an invalidated token is not given again."""

    def __init__(self, org_id: str | None = ORG) -> None:
        self.invalidated: list[str] = []
        self._org_id = org_id
        self._number = 1

    def get(self) -> Token:
        return Token(f"{SECRET}-{self._number}", "https://org.example", self._org_id)

    def invalidate(self, token: Token) -> None:
        self.invalidated.append(token.access_token)
        self._number += 1


def stream_to(endpoint: str, **options: Any) -> PubSubStream:
    """Return a stream. ``options`` are those of ``StreamOptions``, and the stream's own."""
    own = {
        name: options.pop(name)
        for name in ("managed_subscription", "http_config")
        if name in options
    }
    tokens = options.pop("tokens", None) or NumberedTokens()
    wanted = {"connection_timeout": 20.0, **options}
    return PubSubStream(tokens, CHANNEL, StreamOptions(**wanted), endpoint=endpoint, **own)


def names_of(messages: list[Any]) -> list[str]:
    """Return the names of the messages' accounts."""
    return [message["data"]["payload"]["Name"] for message in messages]


def polled(stream: PubSubStream, count: int) -> list[Any]:
    """Poll until there are at least ``count`` messages, and return them."""
    messages: list[Any] = []
    while len(messages) < count:
        messages += stream.poll()
    return messages


def opened_and_polled(stream: PubSubStream, replay: str) -> list[Any]:
    """Open the stream and poll once: a refusal that arrives after the opening is raised by the
    poll."""
    stream.open(replay)
    return list(stream.poll())


def opened(connect: Callable[..., PubSubStream], server: Any, **options: Any) -> PubSubStream:
    """Return an open stream to that server, from the tip."""
    stream = connect(server, **options)
    stream.open("-1")
    return stream
