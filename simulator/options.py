"""The options of the simulator, shared by `python -m simulator` and the Django command."""

import argparse
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

POSITIVE, NOT_NEGATIVE = "must be greater than 0", "must not be negative"


def _option(
    default: Any, text: str, bound: str = "", *, kind: Any = None, metavar: str | None = None
) -> Any:
    """Return a field with its help text, the parser of its value (`kind`) and its `bound`."""
    metadata = {"help": text, "bound": bound, "kind": kind or type(default), "metavar": metavar}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the simulator, named as on the command line."""

    host: str = _option("127.0.0.1", "address to listen on")
    port: int = _option(0, "port to listen on; 0 picks a free port")
    rate: float = _option(0.0, "events per second of generated traffic", NOT_NEGATIVE)
    count: int | None = _option(
        None,
        "stop the traffic after this many events; without --rate, send them all at once",
        NOT_NEGATIVE,
        kind=int,
    )
    seed: int | None = _option(
        None, "seed that makes the traffic and the record ids repeatable", kind=int
    )
    connect_timeout: float = _option(110.0, "seconds that a long poll is held", POSITIVE)
    session_seconds: float = _option(7200.0, "seconds until an access token expires", POSITIVE)
    retention_hours: float = _option(72.0, "hours for which events are retained", POSITIVE)
    retention_events: int = _option(1_000_000, "maximum number of retained events", POSITIVE)
    max_events_per_answer: int = _option(2_000, "maximum number of events per response", POSITIVE)
    query_batch_size: int = _option(2_000, "maximum number of rows per query response", POSITIVE)
    bulk_job_seconds: float = _option(0.2, "seconds that a query job takes", NOT_NEGATIVE)
    bulk_page_size: int = _option(
        50_000, "number of rows per page of a query job, unless the client names one", POSITIVE
    )
    daily_api_requests: int = _option(
        100_000, "number of API requests in 24 hours, after which they are refused", POSITIVE
    )
    daily_bulk_jobs: int = _option(
        10_000, "number of query jobs in 24 hours, after which they are refused", POSITIVE
    )
    max_replicated_ids: int = _option(
        600_000, "maximum number of ids in a response with updated or deleted records", POSITIVE
    )
    overflow_after: int = _option(
        100_000,
        "number of changes per transaction above which an overflow event replaces them",
        POSITIVE,
    )
    split_updates: bool = _option(
        False,
        "publish each generated bulk update as several events: one for all its records, and one "
        "for each record without LastModifiedDate",
    )
    token_seconds: float = _option(
        0.0, "seconds that a token request or a SOAP login takes", NOT_NEGATIVE
    )
    lock_after: int = _option(
        0, "lock the user after this many wrong passwords in a row; 0: never", NOT_NEGATIVE
    )
    rotate_refresh_tokens: bool = _option(
        False,
        "each refresh returns a new single-use refresh token; its reuse revokes all tokens",
    )
    password_refresh_tokens: bool = _option(
        False, "the password login also returns the current refresh token"
    )
    no_client_check: bool = _option(
        False,
        "the password login does not require client id and secret; if sent, they must be valid",
    )
    no_client_credentials_user: bool = _option(
        False, "refuse the client credentials login, as an org without a run-as user does"
    )
    jwt_public_key: str = _option(
        "",
        "PEM file with the public key or certificate of the JWT bearer login; default: create a "
        "key pair and announce its private key",
    )
    tls_cert: str = _option("", "PEM file with a certificate, to serve HTTPS")
    tls_key: str = _option(
        "", "PEM file with the key of the certificate, if it is in a separate file"
    )
    tls_client_ca: str = _option(
        "", "PEM file with the authority that must have signed client certificates"
    )
    grpc_port: int | None = _option(
        None, "port of the Pub/Sub API; 0 picks a free port; default: no Pub/Sub API", kind=int
    )
    grpc_keep_alive: float = _option(
        270.0, "seconds between keep-alives on an idle Pub/Sub API stream", POSITIVE
    )
    grpc_idle_credits: float = _option(
        60.0, "seconds until a stream without requested events is closed", POSITIVE
    )
    client_id: str = _option("3MVG9simulatorConsumerKey", "consumer key of the connected app")
    client_secret: str = _option(
        "simulator-consumer-secret", "consumer secret of the connected app"
    )
    username: str = _option("integration@simulator.example", "name of the integration user")
    password: str = _option(
        "simulator-password", "password of the integration user, with its security token"
    )
    refresh_token: str = _option("5Aep861simulatorRefreshToken", "initial refresh token")
    records: tuple[str, ...] = _option(
        (),
        "number of records that an object has from the start, calculated from --seed; may be "
        "repeated, parents first",
        metavar="OBJECT=COUNT",
    )
    channel: tuple[str, ...] = _option(
        (),
        "custom channel with its entities; may be repeated",
        metavar="NAME__chn=ENTITY,ENTITY",
    )
    managed_subscription: tuple[str, ...] = _option(
        (),
        "managed event subscription of the Pub/Sub API; may be repeated",
        metavar="NAME=/data/TOPIC[:earliest]",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, and `--json`."""
    for option in fields(Options):
        kind, text = option.metadata["kind"], option.metadata["help"]
        if kind is bool:
            parser.add_argument(_flag(option), action="store_true", help=text)
        elif kind is tuple:
            metavar = option.metadata["metavar"]
            parser.add_argument(
                _flag(option), action="append", default=[], metavar=metavar, help=text
            )
        else:
            described = (
                text if option.default in ("", None) else f"{text} (default {option.default})"
            )
            parser.add_argument(_flag(option), type=kind, default=option.default, help=described)
    parser.add_argument(
        "--json",
        action="store_true",
        help="announce the address, the credentials and the private key of JWT logins as JSON",
    )


def from_arguments(arguments: Mapping[str, Any]) -> Options:
    """Return the options from parsed arguments. Raises ValueError for invalid values."""
    known = {option.name for option in fields(Options)}
    values = {name: value for name, value in arguments.items() if name in known}
    for name in ("records", "channel", "managed_subscription"):
        values[name] = tuple(values.get(name, ()))
    options = Options(**values)
    _check(options)
    return options


def _check(options: Options) -> None:
    for option in fields(Options):
        bound, value = option.metadata["bound"], getattr(options, option.name)
        if bound and value is not None and (value < 0 or (bound == POSITIVE and value == 0)):
            raise ValueError(f"{_flag(option)} {bound}")
    for definition in options.channel:
        if "=" not in definition:
            raise ValueError(f"--channel must be NAME__chn=ENTITY,ENTITY, not {definition!r}")
    for definition in options.records:
        if not definition.partition("=")[2].isdecimal():
            raise ValueError(f"--records must be OBJECT=COUNT, not {definition!r}")
    if (options.tls_key or options.tls_client_ca) and not options.tls_cert:
        raise ValueError("--tls-key and --tls-client-ca need --tls-cert")


def _flag(option: "Field[Any]") -> str:
    return "--" + option.name.replace("_", "-")
