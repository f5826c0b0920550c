"""The options of the simulator, the same for `python -m simulator` and the Django command."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from simulator.oauth import Credentials


@dataclass(frozen=True, slots=True)
class Options:
    """How to start; the names are those of the command line."""

    host: str = "127.0.0.1"
    port: int = 0
    rate: float = 0.0
    count: int | None = None
    seed: int | None = None
    connect_timeout: float = 110.0
    session_seconds: float = 7200.0
    retention_hours: float = 72.0
    retention_events: int = 1_000_000
    max_events_per_answer: int = 2_000
    rotate_refresh_tokens: bool = False
    client_id: str = "3MVG9simulatorConsumerKey"
    client_secret: str = "simulator-consumer-secret"
    username: str = "integration@simulator.example"
    password: str = "simulator-password"
    refresh_token: str = "5Aep861simulatorRefreshToken"
    channel: tuple[str, ...] = ()

    @property
    def credentials(self) -> Credentials:
        """What a client needs to log in."""
        return Credentials(
            client_id=self.client_id,
            client_secret=self.client_secret,
            username=self.username,
            password=self.password,
            refresh_token=self.refresh_token,
        )


HELP = {
    "host": "the address to listen on",
    "port": "the port to listen on; 0 picks a free one",
    "rate": "events per second of generated traffic",
    "count": "stop the traffic after this many events; without --rate they all come at once",
    "seed": "makes the traffic and the record ids repeatable",
    "connect_timeout": "seconds that a long poll is held",
    "session_seconds": "seconds until an access token expires",
    "retention_hours": "hours that events are retained",
    "retention_events": "how many events are retained at most",
    "max_events_per_answer": "how many events one answer carries at most",
    "client_id": "the connected app's consumer key",
    "client_secret": "the connected app's consumer secret",
    "username": "the integration user's name",
    "password": "the integration user's password, security token included",
    "refresh_token": "a refresh token to start with",
}
TYPES: dict[str, type[int] | type[float]] = {
    "port": int,
    "rate": float,
    "count": int,
    "seed": int,
    "connect_timeout": float,
    "session_seconds": float,
    "retention_hours": float,
    "retention_events": int,
    "max_events_per_answer": int,
}


POSITIVE = (
    "connect_timeout",
    "session_seconds",
    "retention_hours",
    "retention_events",
    "max_events_per_answer",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    defaults = Options()
    for name, text in HELP.items():
        flag = "--" + name.replace("_", "-")
        default = getattr(defaults, name)
        parser.add_argument(
            flag, type=TYPES.get(name, str), default=default, help=f"{text} (default {default})"
        )
    parser.add_argument(
        "--rotate-refresh-tokens",
        action="store_true",
        help="each refresh answers with a new single-use refresh token; reuse revokes everything",
    )
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME__chn=ENTITY,ENTITY",
        help="a custom channel and its entities; may be repeated",
    )


def from_arguments(arguments: Mapping[str, Any]) -> Options:
    """The options from parsed arguments; raises ValueError for one that makes no sense."""
    known = {field.name for field in fields(Options)}
    values = {name: value for name, value in arguments.items() if name in known}
    options = Options(**{**values, "channel": tuple(values.get("channel", ()))})
    for name in POSITIVE:
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} must be above zero")
    if options.rate < 0 or (options.count or 0) < 0:
        raise ValueError("--rate and --count must not be negative")
    for definition in options.channel:
        if "=" not in definition:
            raise ValueError(f"--channel wants NAME__chn=ENTITY,ENTITY, not {definition!r}")
    return options
