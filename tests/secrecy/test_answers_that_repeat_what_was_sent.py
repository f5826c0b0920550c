"""Stored and shown texts of answers contain no secret, even if an endpoint, such as a gateway,
repeats the request."""

import pytest

from consumer.diagnostics.connection_check import check_connection
from listeners.connections.token_sources import token_source
from listeners.models import Connection
from listeners.salesforce.errors import MalformedAnswer
from tests.listeners.salesforce.messages import HANDSHAKE
from tests.listeners.salesforce.scripted import TOKEN_PATH, Reply, ScriptedOrg, of_json
from tests.sample_data import make_listener
from tests.settings_on_the_wire.stored import stream_of

pytestmark = pytest.mark.anywhere

FAULT = """<Envelope><Body><Fault><faultcode>sf:INVALID_LOGIN</faultcode>
<faultstring>Invalid {secret}</faultstring></Fault></Body></Envelope>"""
SENT = {
    "soap": "password",
    "password": "password",
    "refresh_token": "refresh_token",
    "client_credentials": "client_secret",
}


@pytest.fixture
def org():
    with ScriptedOrg() as running:
        yield running


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("auth", SENT)
def test_a_refused_login_repeats_no_secret(org, planted, heard, auth):
    secrets = {name: planted.plain(name) for name in ("password", "refresh_token", "client_secret")}
    connection = Connection.objects.create(
        name="prod", auth=auth, base_url=org.url, login_url=org.url,
        username="me", client_id="app", **secrets,
    )  # fmt: skip
    secret = secrets[SENT[auth]]
    org.tell(
        TOKEN_PATH,
        of_json({"error": f"no {secret}", "error_description": f"{secret} is wrong"}, 400),
    )
    org.tell("/services/Soap/u/64.0", Reply(FAULT.format(secret=secret).encode(), 500))

    said = [finding.text for finding in check_connection(connection, ())]

    assert "login refused" in said[-1]
    assert planted.leaks({"findings": str(said), **heard()}) == []


@pytest.mark.django_db(transaction=True)
def test_a_malformed_answer_is_kept_without_the_token_that_it_repeats(org, planted):
    token = planted.plain("access_token")
    connection = Connection.objects.create(
        name="prod", auth="bearer_token", base_url=org.url, token=token
    )
    assert token_source(connection).get().access_token == token
    org.tell(HANDSHAKE, Reply(f"<pre>Authorization: Bearer {token}</pre>".encode()))

    listener = make_listener(connection=connection)
    with stream_of(listener) as stream, pytest.raises(MalformedAnswer) as malformed:
        stream.open("-1")

    assert planted.leaks({"quarantine": malformed.value.raw, "why": malformed.value.why}) == []
