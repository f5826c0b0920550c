"""A stream that cannot be opened on this machine is detected before a lease is taken."""

import pytest

from listeners.connections.create_stream import stream_for
from listeners.salesforce.http.session import ClientFileMissing
from tests.listeners.salesforce.pubsub.streams import NumberedTokens


@pytest.mark.parametrize("transport", ["cometd", "pubsub"])
@pytest.mark.parametrize("name", ["ca_bundle", "client_certificate"])
def test_a_missing_tls_file_is_found_before_the_stream_is_opened(make_listener, transport, name):
    listener = make_listener(transport=transport)
    listener.connection.client_config = {"tls": {name: "/no/such.pem"}}

    with pytest.raises(ClientFileMissing):
        stream_for(listener, NumberedTokens())
