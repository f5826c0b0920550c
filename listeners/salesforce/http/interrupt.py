"""A ``requests`` adapter whose blocked reads another thread can abort.

Closing a socket does not wake a thread that reads from it, but shutting down the connection does.
The adapter therefore keeps track of the sockets that are in use.
"""

from __future__ import annotations

import socket
import threading
import weakref
from typing import Any, ClassVar, cast

import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool
from urllib3.util.ssltransport import SSLTransport

from listeners.salesforce.http.egress_guard import Route
from listeners.salesforce.http.session import GuardedAdapter, keep_alive_options, mixed_into


class _TrackedConnection(HTTPConnection):
    """A mixin for urllib3's connection classes (HTTP, HTTPS, SOCKS) that registers sockets."""

    adapter: ClassVar[InterruptibleAdapter]

    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        # A second handle, because TLS takes over the first one before its handshake blocks.
        self._before_tls = opened.dup()
        self.adapter.track(self._before_tls)
        return opened

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            before_tls: socket.socket | None = self.__dict__.pop("_before_tls", None)
            if before_tls is not None:
                before_tls.close()
        if self.sock is not None:
            # For TLS within the TLS of an https proxy, the transport is not a socket but has one.
            opened: Any = self.sock
            self.adapter.track(opened.socket if isinstance(opened, SSLTransport) else opened)


class InterruptibleAdapter(GuardedAdapter):
    """Sends one request at a time without retries; ``interrupt`` aborts it and all later ones."""

    def __init__(self, keep_alive: float | None = None, route: Route | None = None) -> None:
        """``keep_alive``: seconds of silence before TCP keep-alive probes start."""
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._interrupted = False
        super().__init__(
            () if keep_alive is None else keep_alive_options(keep_alive),
            route,
            pool_connections=1,
            pool_maxsize=1,
            max_retries=0,
        )

    def interrupt(self) -> None:
        """Abort the current and all later requests, from any thread.

        A name lookup or a TCP connect still runs until its time-out.
        """
        with self._lock:
            self._interrupted = True
        self.cut()

    def cut(self) -> None:
        """Abort the current request; the next one uses a new connection."""
        with self._lock:
            for opened in list(self._sockets):
                _shut_down(opened)

    def track(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.add(opened)
            if self._interrupted:
                _shut_down(opened)

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(request, *args, **kwargs)
        mixed_into(cast(HTTPConnectionPool, pool), _TrackedConnection, adapter=self)
        return pool


def _shut_down(opened: socket.socket) -> None:
    try:
        # Not ``opened.shutdown``: SSLSocket's own removes the TLS state that the reader is using.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
    except OSError:
        return  # the socket is closed or was never connected, so no thread waits for it
