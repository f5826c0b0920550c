"""HTTP/2 for a ``requests`` session, spoken by httpx: requests itself has none."""

from __future__ import annotations

import io
import ssl
from collections.abc import Mapping
from typing import Any

import certifi
import httpx
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

# Said of the answer as it came, before httpx unpacked it.
_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class Http2Adapter(HTTPAdapter):
    """A connection for each request: logins are rare. A peer without HTTP/2 is an error."""

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
        scheme = str(request.url).partition(":")[0]
        try:
            with httpx.Client(
                http1=False,
                http2=True,
                verify=_tls(verify, cert),
                proxy=(proxies or {}).get(scheme),
                timeout=httpx.Timeout(read, connect=connect),
                trust_env=False,
            ) as client:
                answer = client.request(
                    str(request.method),
                    str(request.url),
                    headers=dict(request.headers),
                    content=request.body,
                )
        except httpx.ConnectTimeout:
            raise requests.ConnectTimeout from None
        except httpx.TimeoutException:
            raise requests.ReadTimeout from None
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise requests.ConnectionError(type(failure).__name__) from None
        return self.build_response(request, _raw(answer))


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
