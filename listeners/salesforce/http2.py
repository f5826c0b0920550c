"""HTTP/2 for a ``requests`` session, spoken by httpx: requests itself has none."""

from __future__ import annotations

import io
import ssl
from collections.abc import Mapping
from typing import Any

import certifi
import httpx
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPHeaderDict, HTTPResponse

from listeners.salesforce.destinations import Destinations
from listeners.salesforce.guard import GuardedNetwork, Route

_NO_CONNECTION = urllib3.connection.HTTPConnection("")
_NO_POOL = urllib3.HTTPConnectionPool("none")

# Said of the answer as it came, before httpx unpacked it.
_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class Http2Adapter(HTTPAdapter):
    """A connection for each request: logins are rare. A peer without HTTP/2 is an error."""

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
        try:
            with httpx.Client(
                transport=_transport(
                    context, _proxy(through, context), self._route.guard(str(request.url), proxies)
                ),
                timeout=httpx.Timeout(read, connect=connect),
                trust_env=False,
            ) as client:
                answer = client.request(
                    str(request.method),
                    str(request.url),
                    headers=dict(request.headers),
                    content=request.body,
                )
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise requests.ConnectionError(_as_urllib3(failure)) from None
        return self.build_response(request, _raw(answer))


def _transport(
    context: ssl.SSLContext, proxy: httpx.Proxy | None, guard: Destinations
) -> httpx.HTTPTransport:
    transport = httpx.HTTPTransport(
        http1=False, http2=True, verify=context, proxy=proxy, trust_env=False
    )
    if not guard.is_anywhere:
        # httpx lets nobody name the network that httpcore takes.
        transport._pool._network_backend = GuardedNetwork(guard)
    return transport


def _proxy(url: str | None, context: ssl.SSLContext) -> httpx.Proxy | None:
    """An https proxy is trusted as the host is."""
    if not url:
        return None
    url = url if "://" in url else f"http://{url}"
    return httpx.Proxy(url, ssl_context=context if url.startswith("https:") else None)


def _as_urllib3(failure: Exception) -> urllib3.exceptions.HTTPError:
    """The failure that HTTP/1.1 would have had, so that both are told in the same words."""
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


def _raw(answer: httpx.Response) -> Any:
    return HTTPResponse(
        body=io.BytesIO(answer.content),
        headers=HTTPHeaderDict(
            [(k, v) for k, v in answer.headers.multi_items() if k not in _OF_THE_WIRE]
        ),
        status=answer.status_code,
        preload_content=False,
    )
