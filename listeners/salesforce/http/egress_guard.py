"""Restricts connections to allowed addresses, for urllib3, httpcore and asyncio."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any, ClassVar

import httpcore
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from listeners.salesforce.http.allowlist import ANYWHERE, Destinations
from listeners.threads import call_in_thread


@dataclass(frozen=True, slots=True)
class Route:
    """The allowed destinations of a session's connections.

    A proxy from the environment is trusted, and decides itself what it lets through; a configured
    proxy must be an allowed destination.
    """

    destinations: Destinations = ANYWHERE
    has_own_proxy: bool = False

    def guard(self, url: str, proxies: Any) -> Destinations:
        """Return the allowed destinations of the connection for a request to ``url``."""
        through = select_proxy(url, dict(proxies or {}))
        return ANYWHERE if through and not self.has_own_proxy else self.destinations


class GuardedConnection(HTTPConnection):
    """A mixin for urllib3's connection classes that connects only to checked addresses."""

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
        raise failure or NewConnectionError(self, "the host has no address")


class GuardedNetwork(httpcore.SyncBackend):
    """An httpcore backend that connects only to checked addresses."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        try:
            addresses = self._destinations.resolve(host, port)
        except socket.gaierror as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses:
            try:
                return super().connect_tcp(address, port, *args, **kwargs)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


async def resolved(destinations: Destinations, host: str, port: int) -> list[str]:
    """Run ``Destinations.resolve`` on a daemon thread, so that a name server that hangs delays
    neither the event loop nor the exit of the process."""
    asked = call_in_thread("resolving", destinations.resolve, host, port)
    return await asyncio.wrap_future(asked)
