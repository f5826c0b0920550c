"""An adapter that gives ``requests`` sessions HTTP/2, by way of httpx."""

from __future__ import annotations

import io
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import certifi
import httpx
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPHeaderDict, HTTPResponse

from listeners.salesforce.http.allowlist import Destinations
from listeners.salesforce.http.egress_guard import GuardedNetwork, Route

_NO_CONNECTION = urllib3.connection.HTTPConnection("")
_NO_POOL = urllib3.HTTPConnectionPool("none")

# HTTP/2 expresses these headers by its frames.
_OF_THE_WIRE = frozenset({"content-length", "transfer-encoding"})


class Http2Adapter(HTTPAdapter):
    """Opens a connection for each request (logins are rare), and requires HTTP/2 of the server."""

    def __init__(self, route: Route | None = None) -> None:
        self._route = route or Route()
        super().__init__()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        connect, read = timeout
        through = select_proxy(str(request.url), dict(proxies or {}))
        context = _tls(verify, cert)
        client = httpx.Client(
            transport=_transport(
                context, _proxy(through, context), self._route.guard(str(request.url), proxies)
            ),
            timeout=httpx.Timeout(read, connect=connect),
            trust_env=False,
        )
        try:
            prepared = client.build_request(
                str(request.method),
                str(request.url),
                headers=dict(request.headers),
                content=request.body,
            )
            answer = client.send(prepared, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            client.close()
            raise requests.ConnectionError(_as_urllib3(failure)) from None
        except BaseException:
            client.close()
            raise
        return self.build_response(request, _raw(client, answer))


class _Body(io.RawIOBase):
    """The raw body of an answer, read from the connection on demand."""

    def __init__(self, client: httpx.Client, answer: httpx.Response) -> None:
        self._client = client
        self._answer = answer
        self._chunks: Iterator[bytes] = answer.iter_raw()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            while not self._left:
                self._left = next(self._chunks)
        except StopIteration:
            return 0
        except httpx.HTTPError as failure:
            raise _as_urllib3(failure) from None
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._answer.close()
            self._client.close()
        super().close()


def _transport(
    context: ssl.SSLContext, proxy: httpx.Proxy | None, guard: Destinations
) -> httpx.HTTPTransport:
    transport = httpx.HTTPTransport(
        http1=False, http2=True, verify=context, proxy=proxy, trust_env=False
    )
    if not guard.is_anywhere:
        # httpx has no public way to set httpcore's network backend.
        transport._pool._network_backend = GuardedNetwork(guard)
    return transport


def _proxy(url: str | None, context: ssl.SSLContext) -> httpx.Proxy | None:
    """Return the proxy; an https proxy is verified with the same TLS settings as the host."""
    if not url:
        return None
    url = url if "://" in url else f"http://{url}"
    return httpx.Proxy(url, ssl_context=context if url.startswith("https:") else None)


def _as_urllib3(failure: Exception) -> urllib3.exceptions.HTTPError:
    """Return the urllib3 exception for the same failure, so that both have the same messages."""
    match failure:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return urllib3.exceptions.ConnectTimeoutError()
        case httpx.TimeoutException():
            return urllib3.exceptions.ReadTimeoutError(_NO_POOL, "", "")
        case httpx.ProxyError():
            refused = OSError(f"Tunnel connection failed: {failure}")
            return urllib3.exceptions.ProxyError("", refused)
        case httpx.ConnectError() if _was_caused_by(failure, ssl.SSLError):
            return urllib3.exceptions.SSLError()
        case httpx.ConnectError():
            return urllib3.exceptions.NewConnectionError(_NO_CONNECTION, "")
        case _:
            return urllib3.exceptions.ProtocolError(type(failure).__name__)


def _was_caused_by(failure: BaseException | None, kind: type[Exception]) -> bool:
    while failure is not None:
        if isinstance(failure, kind):
            return True
        failure = failure.__cause__ or failure.__context__
    return False


def _tls(verify: bool | str, cert: Any) -> ssl.SSLContext:
    authorities = verify if isinstance(verify, str) else certifi.where()
    context = ssl.create_default_context(cafile=authorities)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context


def _raw(client: httpx.Client, answer: httpx.Response) -> Any:
    return HTTPResponse(
        body=io.BufferedReader(_Body(client, answer)),
        headers=HTTPHeaderDict(
            [(k, v) for k, v in answer.headers.multi_items() if k not in _OF_THE_WIRE]
        ),
        status=answer.status_code,
        preload_content=False,
    )
