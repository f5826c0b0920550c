"""Receivers of incident notifications: a real web server and a real mail server on the loopback."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook:
    """Keeps the posted requests, and sends the given answers in turn, then 204."""

    def __init__(self) -> None:
        outer = self
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.posts.append((dict(self.headers.items()), body))
                status, headers = outer.answers.pop(0) if outer.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?key=hunter2"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(said["kind"], said["state"]) for said in map(json.loads, self.bodies)]

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.posts]


class MailServer:
    """A minimal SMTP server. It refuses mail with the answer `refuses` if that is set."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.recipients: list[str] = []
        self.refuses = ""
        self.refused = ""  # only recipients that hold this
        self.offers_login = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listening.accept()
            except OSError:
                return
            with peer, peer.makefile("rwb", buffering=0) as lines:
                self._converse(lines)

    def _converse(self, lines) -> None:
        lines.write(b"220 ready\r\n")
        while line := lines.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                lines.write(b"354 go on\r\n")
                text = b""
                while (part := lines.readline()) != b".\r\n":
                    text += part
                self.mails.append(text.decode())
            if verb == b"RCPT":
                self.recipients.append(line.decode().strip())
                if self.refuses and self.refused in line.decode():
                    lines.write(f"{self.refuses}\r\n".encode())
                    continue
            if verb == b"EHLO" and self.offers_login:
                lines.write(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")
                continue
            lines.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
