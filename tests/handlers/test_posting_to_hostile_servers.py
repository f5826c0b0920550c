"""`post_to_url` and the incident webhook read no body, observe their timeout, and send only the
credentials that they were given."""

import asyncio
from contextlib import contextmanager

import pytest

from consumer.alerts import channels
from handlers import Retry
from handlers.cdc_handlers import post_to_url
from tests.handlers.test_built_in_handlers import event
from tests.listeners.salesforce.hostile import MIB, HostileServer, packed
from tests.listeners.salesforce.test_answers_that_are_too_large import MOST_MEBIBYTES, asked
from tests.settings_on_the_wire.loop_server import LoopServer

pytestmark = pytest.mark.slow


def test_an_answer_of_a_gigabyte_is_left_unread():
    with HostileServer(packed(b"\0", 1024 * MIB)) as server:
        outcome, mebibytes = asked("post_to_url", server.url)

    assert outcome == "NoneType: answered"
    assert mebibytes < MOST_MEBIBYTES


class Drip(LoopServer):
    """Sends one byte of its answer's header every 0.1 s, without an end."""

    async def serve(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)


class Endless(LoopServer):
    """Answers at once, with a body that never ends."""

    async def serve(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()
            await asyncio.sleep(0.01)


@pytest.mark.timeout(300)
def test_a_head_that_trickles_ends_with_the_time_limit():
    with Drip() as server:
        url = f"http://127.0.0.1:{server.port}/hook?token=very-secret"
        with pytest.raises(RuntimeError, match=r"127\.0\.0\.1 did not answer within 1 s") as raised:
            post_to_url(event(url=url, timeout=1))

    assert "very-secret" not in str(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.timeout(300)
def test_a_body_that_never_ends_is_not_waited_for():
    with Endless() as server:
        post_to_url(event(url=f"http://127.0.0.1:{server.port}/hook", timeout=40))


def test_a_webhook_whose_head_trickles_ends_with_the_time_limit(settings, monkeypatch):
    monkeypatch.setattr(channels, "WEBHOOK_SECONDS", 1.0)
    with Drip() as server:
        settings.CDC_INCIDENT_WEBHOOK = f"http://127.0.0.1:{server.port}/hook"
        with pytest.raises(channels.NotSent, match="did not answer within 1 s"):
            channels._post(NOTICE)


NOTICE = channels.Notice(
    id=1,
    state="open",
    kind="stall",
    listener="salesforceListener",
    summary="The stream fell silent",
    action="",
    remedy="",
    opened_at="2026-11-28T00:00:00Z",
    closed_at=None,
    note="",
    url="",
)


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    """A netrc file with credentials for this machine, which the product was not given."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login somebody password hunter2\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


@contextmanager
def answering(status=200):
    with HostileServer(b"", "", status=status) as server:
        yield server


def test_no_credentials_of_a_netrc_are_posted(netrc):
    with answering() as server:
        post_to_url(event(url=server.url))
        assert "Authorization" not in server.headers[0]


def test_no_credentials_of_a_netrc_go_to_the_incident_webhook(netrc, settings):
    with answering() as server:
        settings.CDC_INCIDENT_WEBHOOK = server.url
        channels._post(NOTICE)
        assert "Authorization" not in server.headers[0]


def test_credentials_in_the_address_itself_are_posted(netrc):
    with answering() as server:
        post_to_url(event(url=server.url.replace("http://", "http://me:s3cret@")))
        assert server.headers[0]["Authorization"] == "Basic bWU6czNjcmV0"


def test_no_credentials_of_a_netrc_go_where_a_handlers_client_is_led(netrc):
    from listeners.salesforce.auth.bearer_token import BearerToken
    from listeners.salesforce.rest.simple_salesforce import TokenSession

    tokens = BearerToken("00D!token", "https://org.example")
    with answering() as other, TokenSession(tokens) as session:
        session.get(f"{other.url}/elsewhere")
        assert "Authorization" not in other.headers[0]


def test_patience_that_is_asked_for_is_still_heard():
    with HostileServer(packed(b"\0", MIB), status=503) as server:
        server.more_headers = {"Retry-After": "30"}
        with pytest.raises(Retry) as raised:
            post_to_url(event(url=server.url))

    assert raised.value.after == 30
