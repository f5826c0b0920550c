"""Creates the event stream of a listener, by its transport, without opening it."""

from __future__ import annotations

from listeners.connections.client_config import http_config, stream_options
from listeners.models import Listener
from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.protocol import EventStream
from listeners.salesforce.tokens.tokens import Tokens


def stream_for(listener: Listener, tokens: Tokens) -> EventStream:
    """Return a stream for the listener, not open yet.

    Raises SecretUnavailable and ClientFileMissing.
    """
    config = http_config(listener.connection)
    config.tls.check_files()  # before the lease is taken: another process may have the files
    options = stream_options(listener)
    match Listener.Transport(listener.transport):
        case Listener.Transport.COMETD:
            return CometdStream(tokens, listener.channel, options, http_config=config)
        case Listener.Transport.PUBSUB:
            # Imported here only, because gRPC does not survive a fork, and workers fork.
            from listeners.salesforce.pubsub.stream import PubSubStream

            return PubSubStream(
                tokens,
                listener.channel,
                options,
                endpoint=listener.pubsub_endpoint,
                http_config=config,
                managed_subscription=listener.managed_subscription,
            )
