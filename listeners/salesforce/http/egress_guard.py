"""What a connection may be made to, for whatever makes it: urllib3, httpcore or asyncio."""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import httpcore
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from listeners.salesforce.errors import DestinationRefused
from listeners.salesforce.http.allowlist import ANYWHERE, Destinations


@dataclass(frozen=True, slots=True)
class Route:
    """What a connection may be made to. A proxy that the environment names is trusted, and is asked
    for what it lets through; one of the configuration is a host like any other."""

    destinations: Destinations = ANYWHERE
    has_own_proxy: bool = False

    def guard(self, url: str, proxies: Any) -> Destinations:
        """What the address to connect to must be among, for a request of ``url``."""
        through = select_proxy(url, dict(proxies or {}))
        return ANYWHERE if through and not self.has_own_proxy else self.destinations


class GuardedConnection(HTTPConnection):
    """Mixed into each kind of connection class: what is connected to is what was judged."""

    destinations: ClassVar[Destinations]
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        name, failure = self._dns_host, None
        try:
            addresses = self.destinations.resolve(name, self.port)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        for address in addresses:
            self._dns_host = address
            try:
                return super()._new_conn()
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = error
            finally:
                self._dns_host = name
        raise failure or NewConnectionError(self, "it has no address")


class GuardedNetwork(httpcore.SyncBackend):
    """What is connected to is what was judged."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        try:
            addresses = self._destinations.resolve(host, port)
        except socket.gaierror as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError("it has no address")
        for address in addresses:
            try:
                return super().connect_tcp(address, port, *args, **kwargs)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


async def resolved(destinations: Destinations, host: str, port: int) -> list[str]:
    """``Destinations.resolve`` beside the loop, on a thread that no exit of the process waits for:
    a name server that hangs holds nothing up."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str] | Exception) -> None:
        if answer.done():
            return
        if isinstance(found, Exception):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        try:
            found: list[str] | Exception = destinations.resolve(host, port)
        except (DestinationRefused, OSError, UnicodeError) as error:
            found = error
        loop.call_soon_threadsafe(settle, found)

    threading.Thread(target=ask, name="resolving", daemon=True).start()
    return await answer
