"""A ``requests`` adapter whose blocked reads another thread can end.

Closing a socket does not wake a thread that is reading from it; shutting the connection down
does. So the adapter remembers the sockets of its connections for as long as they are in use.
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
from listeners.salesforce.http.session import KeepAliveAdapter, keep_alive_options, mixed_into


class _Sockets:
    """The sockets in use. After ``interrupt`` each socket is shut down as it is added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._interrupted = False

    def add(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.add(opened)
            if self._interrupted:
                _shut_down(opened)

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
        self.cut()

    def cut(self) -> None:
        with self._lock:
            for opened in list(self._sockets):
                _shut_down(opened)


def _shut_down(opened: socket.socket) -> None:
    try:
        # Not ``opened.shutdown``: SSLSocket's own takes the TLS state from under the reader.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
    except OSError:
        return  # it is closed, or was never connected: nobody waits for it


class _TrackedConnection(HTTPConnection):
    """Mixed into each kind of connection class, HTTP, HTTPS or SOCKS."""

    sockets: ClassVar[_Sockets]

    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        # A second handle, since TLS takes the first one over before its handshake blocks.
        self._before_tls = opened.dup()
        self.sockets.add(self._before_tls)
        return opened

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            before_tls: socket.socket | None = self.__dict__.pop("_before_tls", None)
            if before_tls is not None:
                before_tls.close()
        if self.sock is not None:
            # TLS within the TLS of an https proxy is no socket, but has one.
            opened: Any = self.sock
            self.sockets.add(opened.socket if isinstance(opened, SSLTransport) else opened)


class InterruptibleAdapter(KeepAliveAdapter):
    """One request at a time, never retried; ``interrupt`` ends it and all that come after."""

    def __init__(self, keep_alive: float | None = None, route: Route | None = None) -> None:
        """``keep_alive``: seconds of silence before TCP probes begin."""
        self._sockets = _Sockets()
        super().__init__(
            keep_alive_options(keep_alive), route, pool_connections=1, pool_maxsize=1, max_retries=0
        )

    def interrupt(self) -> None:
        """Callable from any thread, for good. A name lookup or TCP connect runs to its time-out."""
        self._sockets.interrupt()

    def cut(self) -> None:
        """End the request that is under way; the next one goes over a new connection."""
        self._sockets.cut()

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> ConnectionPool:
        pool = super().get_connection_with_tls_context(request, *args, **kwargs)
        mixed_into(cast(HTTPConnectionPool, pool), _TrackedConnection, sockets=self._sockets)
        return pool
