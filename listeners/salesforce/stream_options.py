"""How a stream is heard, whatever its transport."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamOptions:
    """Times are in seconds.

    connection_timeout    for each of connecting, handshake and subscription; over gRPC for each
                          call that has one answer, with connecting
    read_timeout          silence allowed past the time that the server may be silent: as long as
                          it holds a connect; over gRPC 270 s
    keep_alive_interval   silence after which it is checked that somebody is there
    session_timeout       time without an answer after which a session is not gone on with
    """

    api_version: str = "67.0"
    connection_timeout: float = 30.0
    read_timeout: float = 30.0
    keep_alive_interval: float = 120.0
    session_timeout: float = 900.0

    @property
    def longest_hold(self) -> float:
        """What a connect is asked to be held for at most, so that silence means something."""
        # Its answer comes before the silence is looked into.
        early = min(1.0, self.keep_alive_interval / 10)
        return min(self.keep_alive_interval - early, self.session_timeout / 2)
