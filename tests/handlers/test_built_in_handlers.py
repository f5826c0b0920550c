"""The built-in handlers log a change or post it to a URL."""

import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from handlers import EventData, Metadata, Retry
from handlers.cdc_handlers import check_post_options, log_change, post_to_url
from tests.servers import free_port

pytestmark = pytest.mark.slow


def event(**options) -> EventData:
    metadata = Metadata(
        entity_name="Account",
        change_type="UPDATE",
        change_origin="com/salesforce/api/rest/67.0",
        transaction_key="0000-1",
        sequence_number=1,
        commit_timestamp=1_764_000_000_000,
        commit_number=10,
        commit_user="005000000000001AAA",
        record_id="001000000000001AAA",
        record_ids=("001000000000001AAA",),
        changed_fields=("Name",),
        nulled_fields=(),
        diff_fields=None,
    )
    return EventData(
        id=7,
        listener="salesforceListener",
        replay_id="12",
        changed_data={"Name": "Ärger & Söhne", "Phone": None},
        metadata=metadata,
        options=options,
    )


@pytest.fixture
def receiver():
    """A web server that keeps requests and sends a given answer."""

    class Handler(BaseHTTPRequestHandler):
        answer = (204, {})
        requests = None

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.requests.append((dict(self.headers), body))
            status, headers = type(self).answer
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    Handler.requests = []
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Handler.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Handler
        server.shutdown()
        thread.join()


def test_the_event_is_posted_as_json_and_signed(receiver, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "signing key")

    post_to_url(event(url=receiver.url, secret="env:HOOK_SECRET"))

    [(headers, body)] = receiver.requests
    signed = f"{headers['Cdc-Timestamp']}.".encode() + body
    expected = hmac.new(b"signing key", signed, hashlib.sha256).hexdigest()
    assert headers["Cdc-Signature"] == f"sha256={expected}"
    assert headers["Cdc-Event-Id"] == "7"
    assert json.loads(body)["changedData"] == {"Name": "Ärger & Söhne", "Phone": None}
    assert json.loads(body)["metadata"]["entityName"] == "Account"


def test_without_a_secret_nothing_is_signed(receiver):
    post_to_url(event(url=receiver.url))

    [(headers, _)] = receiver.requests
    assert "Cdc-Signature" not in headers


@pytest.mark.parametrize("status", [302, 400, 500])
def test_an_answer_outside_2xx_fails_the_attempt(receiver, status):
    receiver.answer = (status, {"Location": receiver.url} if status == 302 else {})

    with pytest.raises(RuntimeError, match=str(status)):
        post_to_url(event(url=receiver.url))

    assert len(receiver.requests) == 1


def test_a_server_that_asks_for_patience_gets_it(receiver):
    receiver.answer = (503, {"Retry-After": "30"})

    with pytest.raises(Retry) as raised:
        post_to_url(event(url=receiver.url))

    assert raised.value.after == 30


def test_an_unreachable_server_is_named_without_its_url():
    url = f"http://127.0.0.1:{free_port()}/hook?token=very-secret"

    with pytest.raises(RuntimeError, match=r"127\.0\.0\.1 did not answer") as raised:
        post_to_url(event(url=url))

    assert "very-secret" not in str(raised.value)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "url is needed"),
        ({"url": "ftp://x"}, "url is needed"),
        ({"url": "https://x", "secret": "plain text"}, "must be a reference"),
        ({"url": "https://x", "timeout": 0}, "timeout must be a number"),
        ({"url": "https://x", "timeout": True}, "timeout must be a number"),
        ({"url": "https://x", "retries": 3}, "unknown option retries"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        check_post_options(options)


def test_logging_names_the_fields_and_not_their_values(caplog):
    with caplog.at_level("INFO", logger="handlers.log_change"):
        log_change(event())

    assert "001000000000001AAA" in caplog.text
    assert "Phone" in caplog.text
    assert "Ärger" not in caplog.text
