"""The options of the simulator, shared by `python -m simulator` and the Django command."""

import argparse
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from simulator.auth.oauth import Credentials, Rules

POSITIVE, NOT_NEGATIVE = "must be above zero", "must not be negative"


def _option(
    default: Any, text: str, bound: str = "", *, kind: Any = None, metavar: str | None = None
) -> Any:
    """Return a field with its help text, the parser of its value (`kind`) and its `bound`."""
    told = {"help": text, "bound": bound, "kind": kind or type(default), "metavar": metavar}
    return field(default=default, metadata=told)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the simulator, named as on the command line."""

    host: str = _option("127.0.0.1", "the address to listen on")
    port: int = _option(0, "the port to listen on; 0 picks a free one")
    rate: float = _option(0.0, "events per second of generated traffic", NOT_NEGATIVE)
    count: int | None = _option(
        None,
        "stop the traffic after this many events; without --rate they all come at once",
        NOT_NEGATIVE,
        kind=int,
    )
    seed: int | None = _option(None, "makes the traffic and the record ids repeatable", kind=int)
    connect_timeout: float = _option(110.0, "seconds that a long poll is held", POSITIVE)
    session_seconds: float = _option(7200.0, "seconds until an access token expires", POSITIVE)
    retention_hours: float = _option(72.0, "hours that events are retained", POSITIVE)
    retention_events: int = _option(1_000_000, "how many events are retained at most", POSITIVE)
    max_events_per_answer: int = _option(
        2_000, "how many events one answer carries at most", POSITIVE
    )
    query_batch_size: int = _option(
        2_000, "how many rows one answer to a query carries at most", POSITIVE
    )
    overflow_after: int = _option(
        100_000, "how many changes of one transaction are told one by one", POSITIVE
    )
    split_updates: bool = _option(
        False,
        "bulk updates of the generated traffic come in several events: one that their records "
        "share, and one for each record without LastModifiedDate",
    )
    token_seconds: float = _option(
        0.0, "seconds that a token request or a SOAP login takes", NOT_NEGATIVE
    )
    lock_after: int = _option(
        0, "lock the user after this many wrong passwords in a row; 0 never does", NOT_NEGATIVE
    )
    rotate_refresh_tokens: bool = _option(
        False,
        "each refresh answers with a new single-use refresh token; reuse revokes everything",
    )
    password_refresh_tokens: bool = _option(
        False, "the password grant answers with the current refresh token too"
    )
    no_client_check: bool = _option(
        False, "the password grant needs no client id and secret; sent ones must be right"
    )
    no_client_credentials_user: bool = _option(
        False, "the client credentials grant is refused, for want of a user"
    )
    jwt_public_key: str = _option(
        "",
        "a PEM file with the public key or certificate of the JWT bearer grant; without one, a key "
        "pair is made and its private key announced",
    )
    tls_cert: str = _option("", "a PEM file with a certificate, to serve https with")
    tls_key: str = _option(
        "", "the PEM file with the certificate's key, if it is not in the same file"
    )
    tls_client_ca: str = _option(
        "", "a PEM file with the authority that clients' certificates must be from"
    )
    grpc_port: int | None = _option(
        None, "the port of the Pub/Sub API; 0 picks a free one, without one there is none", kind=int
    )
    grpc_keep_alive: float = _option(
        270.0, "seconds after which a quiet stream of the Pub/Sub API is told so", POSITIVE
    )
    grpc_idle_credits: float = _option(
        60.0, "seconds until a stream that asks for nothing is closed", POSITIVE
    )
    client_id: str = _option("3MVG9simulatorConsumerKey", "the connected app's consumer key")
    client_secret: str = _option("simulator-consumer-secret", "the connected app's consumer secret")
    username: str = _option("integration@simulator.example", "the integration user's name")
    password: str = _option(
        "simulator-password", "the integration user's password, security token included"
    )
    refresh_token: str = _option("5Aep861simulatorRefreshToken", "a refresh token to start with")
    channel: tuple[str, ...] = _option(
        (),
        "a custom channel and its entities; may be repeated",
        metavar="NAME__chn=ENTITY,ENTITY",
    )
    managed_subscription: tuple[str, ...] = _option(
        (),
        "a managed event subscription of the Pub/Sub API; may be repeated",
        metavar="NAME=/data/TOPIC[:earliest]",
    )

    @property
    def credentials(self) -> Credentials:
        """The credentials that a client needs to log in."""
        return Credentials(
            client_id=self.client_id,
            client_secret=self.client_secret,
            username=self.username,
            password=self.password,
            refresh_token=self.refresh_token,
        )

    @property
    def rules(self) -> Rules:
        """The rules of the token endpoint."""
        return Rules(
            checks_client=not self.no_client_check,
            has_run_as_user=not self.no_client_credentials_user,
            password_gives_refresh_token=self.password_refresh_tokens,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for one in fields(Options):
        kind, text = one.metadata["kind"], one.metadata["help"]
        if kind is bool:
            parser.add_argument(_flag(one), action="store_true", help=text)
        elif kind is tuple:
            metavar = one.metadata["metavar"]
            parser.add_argument(_flag(one), action="append", default=[], metavar=metavar, help=text)
        else:
            told = text if one.default in ("", None) else f"{text} (default {one.default})"
            parser.add_argument(_flag(one), type=kind, default=one.default, help=told)


def from_arguments(arguments: Mapping[str, Any]) -> Options:
    """Return the options from parsed arguments. Raises ValueError for invalid values."""
    known = {one.name for one in fields(Options)}
    values = {name: value for name, value in arguments.items() if name in known}
    for name in ("channel", "managed_subscription"):
        values[name] = tuple(values.get(name, ()))
    options = Options(**values)
    _check(options)
    return options


def _check(options: Options) -> None:
    for one in fields(Options):
        bound, value = one.metadata["bound"], getattr(options, one.name)
        if bound and value is not None and (value < 0 or (bound == POSITIVE and value == 0)):
            raise ValueError(f"{_flag(one)} {bound}")
    for definition in options.channel:
        if "=" not in definition:
            raise ValueError(f"--channel wants NAME__chn=ENTITY,ENTITY, not {definition!r}")
    if (options.tls_key or options.tls_client_ca) and not options.tls_cert:
        raise ValueError("--tls-key and --tls-client-ca need --tls-cert")


def _flag(option: "Field[Any]") -> str:
    return "--" + option.name.replace("_", "-")
