from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from listeners.salesforce.auth.oauth import ClientCredentials
from listeners.salesforce.cometd import protocol, transport
from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.errors import SalesforceError, StreamClosed
from listeners.salesforce.http.session import HttpConfig, Tls, session_of
from listeners.salesforce.protocol import StreamOptions
from listeners.salesforce.tokens.source import TokenSource
from tests.listeners.salesforce.messages import (
    CHANNEL,
    CLIENT_ID,
    CONNECT,
    HANDSHAKE,
    SUBSCRIBE,
    accepted,
    change,
    token_answer,
)
from tests.listeners.salesforce.scripted import (
    FIRST_CONNECT,
    SECRET,
    TOKEN_PATH,
    ScriptedOrg,
    of_json,
)

#: Seconds in which a call must end. It would wait for longer if closing did not end it.
PATIENCE = 60


@pytest.fixture(autouse=True)
def _patient_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a closing stream's last requests arrive late, as they do on a busy machine."""
    monkeypatch.setattr(transport, "_PARTING_TIMEOUT", (60.0, 60.0))


class Elsewhere:
    """Runs a call in another thread, and keeps its result or error."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.raised: SalesforceError | None = None
        self.returned: object = None
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.returned = self._call()
        except SalesforceError as failure:
            self.raised = failure

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def test_close_ends_a_poll_that_another_thread_waits_in(org: ScriptedOrg) -> None:
    stream = org.stream(read_timeout=120)
    stream.open("-1")
    polling = Elsewhere(stream.poll)
    assert org.holding.wait(PATIENCE)

    stream.close()

    polling.join()
    assert isinstance(polling.raised, StreamClosed)
    assert not stream.is_open


def test_close_ends_a_poll_over_tls(org: ScriptedOrg, tmp_path: Path) -> None:
    certificate = _serve_tls(org, tmp_path)
    grant = ClientCredentials(f"{org.url}{TOKEN_PATH}", "the-client", SECRET)
    config = HttpConfig(tls=Tls(ca_bundle=str(certificate)))
    stream = CometdStream(
        TokenSource(grant, http=session_of(config)),
        CHANNEL,
        StreamOptions(read_timeout=120),
        http_config=config,
    )
    stream.open("-1")
    polling = Elsewhere(stream.poll)
    assert org.holding.wait(PATIENCE)

    stream.close()

    polling.join()
    assert isinstance(polling.raised, StreamClosed)
    assert org.disconnected.is_set()


def test_close_ends_an_answer_that_never_becomes_whole(org: ScriptedOrg) -> None:
    org.tell(CONNECT, of_json([change(1), accepted(CONNECT)], missing=40))
    stream = org.stream(read_timeout=120)
    stream.open("-1")
    org.stall_after_missing()
    polling = Elsewhere(stream.poll)
    assert org.holding.wait(PATIENCE)

    stream.close()

    polling.join()
    assert isinstance(polling.raised, StreamClosed)


def test_close_ends_an_open_that_another_thread_waits_in(org: ScriptedOrg) -> None:
    org.hold(HANDSHAKE)
    stream = org.stream(read_timeout=120)
    opening = Elsewhere(lambda: stream.open("-1"))
    assert org.holding.wait(PATIENCE)

    stream.close()

    opening.join()
    assert isinstance(opening.raised, StreamClosed)


def test_close_ends_a_tls_handshake_without_an_answer(org: ScriptedOrg) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        instance = f"https://127.0.0.1:{silent.getsockname()[1]}"
        org.tell(TOKEN_PATH, token_answer(instance, "token"))
        stream = org.stream(read_timeout=120, connection_timeout=120)
        opening = Elsewhere(lambda: stream.open("-1"))
        with silent.accept()[0] as accepted_socket:
            assert accepted_socket.recv(1)  # the client's hello: it now waits for ours

            stream.close()

            opening.join()
    assert isinstance(opening.raised, StreamClosed)


def test_close_ends_a_wait_for_the_advised_interval(
    org: ScriptedOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_LONGEST_INTERVAL", 120.0)
    slow = {"reconnect": "retry", "interval": 120000, "timeout": 110000}
    org.tell(FIRST_CONNECT, [accepted(CONNECT, advice=slow)])
    stream = org.stream()
    stream.open("-1")
    polling = Elsewhere(stream.poll)

    stream.close()

    polling.join()
    assert isinstance(polling.raised, StreamClosed)


def test_close_unsubscribes_and_disconnects(org: ScriptedOrg) -> None:
    stream = org.stream()
    stream.open("-1")

    stream.close()

    last = org.calls[-1]
    assert last.channels == ["/meta/unsubscribe", "/meta/disconnect"]
    assert {message["clientId"] for message in last.messages} == {CLIENT_ID}


def test_close_twice_says_goodbye_once(org: ScriptedOrg) -> None:
    stream = org.stream()
    stream.open("-1")

    stream.close()
    stream.close()

    assert len(org.asked("/meta/disconnect")) == 1


def test_close_does_not_raise_when_the_server_is_gone() -> None:
    with ScriptedOrg() as gone:
        stream = gone.stream()
        stream.open("-1")

    stream.close()

    assert not stream.is_open


def test_messages_that_were_received_before_close_can_still_be_drained(org: ScriptedOrg) -> None:
    org.tell(SUBSCRIBE, [accepted(SUBSCRIBE), change(1)])
    stream = org.stream()
    stream.open("-2")

    stream.close()

    assert len(stream.poll()) == 1
    polling = Elsewhere(stream.poll)
    polling.join()
    assert isinstance(polling.raised, StreamClosed)


def _serve_tls(org: ScriptedOrg, folder: Path) -> Path:
    """Put TLS in front of ``org`` under a certificate made for this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    org.use_tls(context)
    return certificate_file
