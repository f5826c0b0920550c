"""The options of the simulator, the same for `python -m simulator` and the Django command."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from simulator.oauth import Credentials, Rules


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
    query_batch_size: int = 2_000
    overflow_after: int = 100_000
    split_updates: bool = False
    token_seconds: float = 0.0
    lock_after: int = 0
    rotate_refresh_tokens: bool = False
    password_refresh_tokens: bool = False
    no_client_check: bool = False
    no_client_credentials_user: bool = False
    jwt_public_key: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    grpc_port: int | None = None
    grpc_keep_alive: float = 270.0
    grpc_idle_credits: float = 60.0
    client_id: str = "3MVG9simulatorConsumerKey"
    client_secret: str = "simulator-consumer-secret"
    username: str = "integration@simulator.example"
    password: str = "simulator-password"
    refresh_token: str = "5Aep861simulatorRefreshToken"
    channel: tuple[str, ...] = ()
    managed_subscription: tuple[str, ...] = ()

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

    @property
    def rules(self) -> Rules:
        """What the token endpoint asks for and gives."""
        return Rules(
            checks_client=not self.no_client_check,
            has_run_as_user=not self.no_client_credentials_user,
            password_gives_refresh_token=self.password_refresh_tokens,
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
    "query_batch_size": "how many rows one answer to a query carries at most",
    "overflow_after": "how many changes of one transaction are told one by one",
    "token_seconds": "seconds that a token request or a SOAP login takes",
    "lock_after": "lock the user after this many wrong passwords in a row; 0 never does",
    "client_id": "the connected app's consumer key",
    "client_secret": "the connected app's consumer secret",
    "username": "the integration user's name",
    "password": "the integration user's password, security token included",
    "refresh_token": "a refresh token to start with",
    "jwt_public_key": "a PEM file with the public key or certificate of the JWT bearer grant; "
    "without one, a key pair is made and its private key announced",
    "tls_cert": "a PEM file with a certificate, to serve https with",
    "tls_key": "the PEM file with the certificate's key, if it is not in the same file",
    "tls_client_ca": "a PEM file with the authority that clients' certificates must be from",
    "grpc_port": "the port of the Pub/Sub API; 0 picks a free one, without one there is none",
    "grpc_keep_alive": "seconds after which a quiet stream of the Pub/Sub API is told so",
    "grpc_idle_credits": "seconds until a stream that asks for nothing is closed",
}
FLAGS = {
    "split_updates": "bulk updates of the generated traffic come in several events: one that their "
    "records share, and one for each record without LastModifiedDate",
    "rotate_refresh_tokens": "each refresh answers with a new single-use refresh token; reuse "
    "revokes everything",
    "password_refresh_tokens": "the password grant answers with the current refresh token too",
    "no_client_check": "the password grant needs no client id and secret; sent ones must be right",
    "no_client_credentials_user": "the client credentials grant is refused, for want of a user",
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
    "query_batch_size": int,
    "overflow_after": int,
    "token_seconds": float,
    "lock_after": int,
    "grpc_port": int,
    "grpc_keep_alive": float,
    "grpc_idle_credits": float,
}

POSITIVE = (
    "connect_timeout",
    "session_seconds",
    "retention_hours",
    "retention_events",
    "max_events_per_answer",
    "query_batch_size",
    "overflow_after",
    "grpc_keep_alive",
    "grpc_idle_credits",
)
NOT_NEGATIVE = ("token_seconds", "lock_after")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    defaults = Options()
    for name, text in HELP.items():
        flag = "--" + name.replace("_", "-")
        default = getattr(defaults, name)
        told = text if default in ("", None) else f"{text} (default {default})"
        parser.add_argument(flag, type=TYPES.get(name, str), default=default, help=told)
    for name, text in FLAGS.items():
        parser.add_argument("--" + name.replace("_", "-"), action="store_true", help=text)
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME__chn=ENTITY,ENTITY",
        help="a custom channel and its entities; may be repeated",
    )
    parser.add_argument(
        "--managed-subscription",
        action="append",
        default=[],
        metavar="NAME=/data/TOPIC[:earliest]",
        help="a managed event subscription of the Pub/Sub API; may be repeated",
    )


def from_arguments(arguments: Mapping[str, Any]) -> Options:
    """The options from parsed arguments; raises ValueError for one that makes no sense."""
    known = {field.name for field in fields(Options)}
    values = {name: value for name, value in arguments.items() if name in known}
    for name in ("channel", "managed_subscription"):
        values[name] = tuple(values.get(name, ()))
    options = Options(**values)
    _check(options)
    return options


def _check(options: Options) -> None:
    for name in POSITIVE:
        if getattr(options, name) <= 0:
            raise ValueError(f"--{name.replace('_', '-')} must be above zero")
    for name in NOT_NEGATIVE:
        if getattr(options, name) < 0:
            raise ValueError(f"--{name.replace('_', '-')} must not be negative")
    if options.rate < 0 or (options.count or 0) < 0:
        raise ValueError("--rate and --count must not be negative")
    for definition in options.channel:
        if "=" not in definition:
            raise ValueError(f"--channel wants NAME__chn=ENTITY,ENTITY, not {definition!r}")
    if (options.tls_key or options.tls_client_ca) and not options.tls_cert:
        raise ValueError("--tls-key and --tls-client-ca need --tls-cert")
