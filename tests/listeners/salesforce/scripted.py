"""A small CometD server on a real socket, which sends the answers that a test gives it.

Its answers are written from the protocol's documentation. By default it accepts every login,
handshake, first connect and subscription, and holds each later connect until ``release``.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import requests

from listeners.salesforce.auth.oauth import ClientCredentials
from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.protocol import StreamOptions
from listeners.salesforce.tokens.source import TokenSource
from tests.listeners.salesforce.messages import CHANNEL, CONNECT, SUBSCRIBE, accepted, token_answer

SECRET = "s3cr3t-client-secret"
FIRST_CONNECT = "first connect"
TOKEN_PATH = "/services/oauth2/token"
#: A step is held for at most so long: longer than tests wait for a call to end.
HELD_SECONDS = 120.0
ADVICE = {"interval": 0, "timeout": 110000, "reconnect": "retry"}


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. ``missing`` bytes are announced and never sent."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    missing: int = 0


@dataclass(frozen=True)
class Call:
    """A request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def messages(self) -> list[dict[str, Any]]:
        parsed: list[dict[str, Any]] = json.loads(self.body)
        return parsed

    @property
    def channels(self) -> list[str]:
        return [message["channel"] for message in self.messages]


def of_json(value: Any, status: int = 200, *headers: tuple[str, str], missing: int = 0) -> Reply:
    return Reply(json.dumps(value).encode(), status, headers, missing)


@dataclass
class ScriptedOrg:
    """``tell(step, reply…)`` queues answers; a step is a path, a meta channel or FIRST_CONNECT."""

    calls: list[Call] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    disconnected: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._told: defaultdict[str, deque[Reply]] = defaultdict(deque)
        self._logins = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.org = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._scheme = "http"
        self._held: set[str] = {CONNECT}
        self._stalls = False

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # What a test says

    def tell(self, step: str, *replies: Reply | list[Any] | dict[str, Any]) -> None:
        for reply in replies:
            self._told[step].append(reply if isinstance(reply, Reply) else of_json(reply))

    def hold(self, step: str) -> None:
        """Answer this step only after ``release``, as later connects are."""
        self._held.add(step)

    def stall_after_missing(self) -> None:
        """Keep the connection of an unfinished answer open until ``release``."""
        self._stalls = True

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Use TLS from the next connection on; the serving thread then makes its handshake."""
        self._scheme = "https"
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def tokens(self) -> TokenSource:
        grant = ClientCredentials(f"{self.url}{TOKEN_PATH}", "the-client", SECRET)
        return TokenSource(grant, http=plain_http())

    def stream(
        self,
        tokens: TokenSource | None = None,
        channel: str = CHANNEL,
        read_timeout: float = 120,
        connection_timeout: float = 120,
    ) -> CometdStream:
        options = StreamOptions(connection_timeout=connection_timeout, read_timeout=read_timeout)
        return CometdStream(tokens or self.tokens(), channel, options)

    def asked(self, step: str) -> list[Call]:
        """Return the calls to a path, or those that carried a meta channel."""
        return [
            call
            for call in self.calls
            if call.path == step or (call.body.startswith(b"[") and step in call.channels)
        ]

    # What it answers

    def reply(self, call: Call) -> Reply:
        self.calls.append(call)
        step = call.path if not call.body.startswith(b"[") else _step(call.messages[0])
        if self._told[step]:
            return self._told[step].popleft()
        if step in self._held:
            self.wait()
        if step == TOKEN_PATH:
            self._logins += 1
            return of_json(token_answer(self.url, f"token-{self._logins}"))
        return of_json([self._untold(step, message) for message in call.messages])

    def wait(self) -> None:
        self.holding.set()
        self.release.wait(HELD_SECONDS)

    def after_unfinished(self) -> None:
        if self._stalls:
            self.wait()

    def _untold(self, step: str, message: dict[str, Any]) -> dict[str, Any]:
        if message["channel"] == "/meta/disconnect":
            self.disconnected.set()
        more: dict[str, Any] = {"id": message["id"]}
        if step == FIRST_CONNECT:
            more["advice"] = ADVICE
        if step == SUBSCRIBE:
            more["subscription"] = message["subscription"]
        return accepted(message["channel"], **more)


def _step(message: dict[str, Any]) -> str:
    return FIRST_CONNECT if "advice" in message else str(message["channel"])


def plain_http() -> requests.Session:
    """Return a session that ignores the proxy variables and .netrc of this machine."""
    http = requests.Session()
    http.trust_env = False
    return http


class _Server(ThreadingHTTPServer):
    org: ScriptedOrg
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore that the client hung up, as some tests intend."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: in two, each waits for a delayed acknowledgement

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = self.server.org.reply(Call(self.path, dict(self.headers.items()), body))
        self.send_response_only(reply.status)
        if "Date" not in dict(reply.headers):
            self.send_header("Date", self.date_time_string())
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) + reply.missing))
        self.end_headers()
        self.wfile.write(reply.body)
        if reply.missing:
            self.wfile.flush()
            self.server.org.after_unfinished()
            self.close_connection = True

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Log nothing."""
