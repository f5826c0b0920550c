"""Sends an HTTP request and reads the answer's body as a stream, for answers too large to keep."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests
from requests.auth import AuthBase

from listeners.salesforce.errors import AnswerTooLarge, DestinationRefused, TransportFailed
from listeners.salesforce.http.addresses import host_of
from listeners.salesforce.http.answer_limits import MIB, ORG, shown
from listeners.salesforce.http.read_ahead import ReadAhead
from listeners.salesforce.http.request import (
    KNOWN_FAILURES,
    SLOWEST,
    Answer,
    Timeout,
    explained,
    is_refused_by_proxy,
)

_CHUNK = 256 * 1024
#: The longest part of a body without a line end: a record has at most a few large texts.
LONGEST_LINE = 64 * MIB


class Body(io.RawIOBase):
    """The decompressed body of an answer.

    Reading raises `TransportFailed` when the connection is cut or too slow.
    """

    def __init__(self, response: requests.Response, host: str, timeout: Timeout) -> None:
        self.headers: Mapping[str, str] = response.headers
        self._raw: Any = response.raw
        self._host, self._timeout = host, timeout
        self._ahead: ReadAhead | None = None
        self._waited, self._size, self._line = 0.0, 0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        chunk = self._chunk(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def lines(self) -> io.TextIOWrapper:
        """Return the body as lines of UTF-8 text, which end with a line feed only."""
        self._ahead = ReadAhead(self)
        buffered = io.BufferedReader(self._ahead, _CHUNK)
        return io.TextIOWrapper(buffered, "utf-8", errors="replace", newline="\n")

    def stop(self) -> None:
        """Let the thread end that reads ahead."""
        if self._ahead is not None:
            self._ahead.stop()

    def _chunk(self, size: int) -> bytes:
        began = time.monotonic()
        try:
            chunk: bytes = self._raw.read1(size, decode_content=True)
        except KNOWN_FAILURES as failure:
            raise explained(failure, self._host, self._timeout) from None
        self._waited += time.monotonic() - began
        self._size += len(chunk)
        if self._waited > 2 * self._timeout[1] + self._size / SLOWEST:
            raise TransportFailed("the answer was too slow to complete", is_silence=True)
        self._line = 0 if b"\n" in chunk else self._line + len(chunk)
        if self._line > LONGEST_LINE:
            raise AnswerTooLarge(
                f"{self._host} sent a line of more than {shown(LONGEST_LINE)}, the limit for a line"
            )
        return chunk


@contextmanager
def open_exchange(
    http: requests.Session,
    url: str,
    *,
    auth: AuthBase,
    timeout: Timeout,
    headers: Mapping[str, str],
) -> Iterator[Body | Answer]:
    """Send a GET request; yield the body of a 200 as a stream, or the whole other answer.

    Redirects are not followed. Raises `TransportFailed`, and `DestinationRefused` if the session
    may not send requests to that address.
    """
    host = host_of(url)
    try:
        response = http.request(
            "GET",
            url,
            headers=headers,
            auth=auth,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        )
    except DestinationRefused as refused:
        raise refused.with_traceback(None) from None  # the frames contain the request's secrets
    except KNOWN_FAILURES as failure:
        if not is_refused_by_proxy(failure):
            raise explained(failure, host, timeout) from None
        yield Answer(407, {}, (), b"")
        return
    with response:
        body = Body(response, host, timeout)
        if response.status_code == 200:
            try:
                yield body
            finally:
                body.stop()
        else:
            yield Answer(response.status_code, response.headers, (), _beginning(body))


def _beginning(body: Body) -> bytes:
    """Return an error's body; one that is too large is cut."""
    parts, size = [], 0
    while size < ORG.size and (part := body.read(_CHUNK)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
