"""The database, the broker, Redis and the cache, from their environment variables."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import dj_database_url
from kombu.transport import TRANSPORT_ALIASES

from cdcproject.conf.environment import stop

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"
_POSTGRESQL_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
#: Options of a broker URL that redis-py understands too.
_SHARED = (
    "db",
    "username",
    "password",
    "protocol",
    "client_name",
    "health_check_interval",
    "virtual_host",
)
_OF_TLS = ("ssl_",)
#: Schemes of URLs whose path is the number of a Redis database.
_BY_NUMBER = {"redis", "rediss"}
_CELERYS_WORDS = {"CERT_NONE": "none", "CERT_OPTIONAL": "optional", "CERT_REQUIRED": "required"}


def database(url: str, var_dir: Path, *, password: str = "", suffix: str = "") -> dict[str, Any]:
    """Return Django's settings of the database; without a `url`, SQLite under `var_dir`.

    `password` is added to a URL that has none. `suffix` ends the names of the variables.
    """
    name = f"DATABASE_URL{suffix}"
    try:
        config: dict[str, Any] = dict(
            dj_database_url.parse(
                url or f"sqlite:///{quote(str(var_dir / 'db.sqlite3'))}",
                conn_max_age=60,
                conn_health_checks=True,
            )
        )
    except ValueError as error:  # its message may hold the password
        stop(f"{name} is not a database URL ({type(error).__name__}).")
    if config.get("ENGINE") not in (SQLITE, POSTGRESQL):
        stop(f"{name} must start with postgres:// or sqlite:///.")
    if password:
        if config["ENGINE"] != POSTGRESQL or config["PASSWORD"]:
            stop(
                f"DATABASE_PASSWORD{suffix} is set; {name} must then start with postgres:// and "
                "have no password."
            )
        config["PASSWORD"] = password
    if config["ENGINE"] == POSTGRESQL:
        if not config["NAME"] and "service" not in config.get("OPTIONS", {}):
            stop(f"{name} names no database; give for example postgres://user@host/name.")
        # With timeouts, so that a lost server is detected.
        config["OPTIONS"] = _postgresql_options(name, config.get("OPTIONS", {}))
    if config["ENGINE"] == SQLITE:
        # Listener, workers and web server write concurrently: with IMMEDIATE, writers wait for each
        # other at BEGIN instead of failing within a transaction.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        _make_folder(Path(config["NAME"]).parent, name if url else "VAR_DIR")
    return config


def _make_folder(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stop(f"{name}: the folder {folder} cannot be created ({error.strerror}).")


def _postgresql_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of psycopg; `prepare_threshold` is a number, or `none` in the URL."""
    options = {**_POSTGRESQL_OPTIONS, **given}
    threshold = options.get("prepare_threshold")
    if threshold == "none":
        options["prepare_threshold"] = None
    elif threshold is not None and not isinstance(threshold, int):
        stop(f"{name}: prepare_threshold must be a number of executions, or none.")
    return options


def embedded_broker_socket(var_dir: Path) -> Path:
    """Return a path under `var_dir`, or in the temporary folder if that path is too long."""
    path = var_dir / "broker" / "broker.sock"
    if len(str(path)) < 100:
        return path
    digest = hashlib.sha256(str(var_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"salesforce-cdc-{digest}" / "broker.sock"


def with_password(name: str, url: str, password: str) -> str:
    """Return a URL with the password of `name`_PASSWORD; several brokers share the password."""
    if not password:
        return url
    addresses = _brokers(url) if name == "CELERY_BROKER" else [url]
    return ";".join(_with_password(name, address, password) for address in addresses)


def _with_password(name: str, url: str, password: str) -> str:
    _check_address(f"{name}_URL", url)
    parts = urlsplit(url)
    if not parts.hostname or parts.password:
        stop(f"{name}_PASSWORD is set; {name}_URL must have a host and no password.")
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def redis_address(url: str, broker_url: str) -> str:
    """Return REDIS_URL in the form of redis-py, for tokens and rate limits.

    Without one, return the broker's URL when it is one Redis, else an empty text.
    """
    _check_address("REDIS_URL", url)
    broker, *others = _brokers(broker_url)
    if not url and (others or "redis" not in broker.partition("://")[0]):
        return ""
    address = url or _without_celerys_options(broker)
    if not address.startswith(("redis://", "rediss://", "unix://")):
        stop("REDIS_URL must start with redis://, rediss:// or unix://.")
    if "?" in address:
        _check_options(address, "REDIS_URL" if url else "CELERY_BROKER_URL")
    return address


def _check_options(address: str, name: str) -> None:
    import redis  # only here: many processes do not need it

    try:
        redis.ConnectionPool.from_url(address).make_connection()
    except (TypeError, ValueError, redis.RedisError):  # their messages may hold the password
        stop(f"{name}: an option in its query (after the ?) is unknown to redis-py, or wrong.")


def _without_celerys_options(url: str) -> str:
    """Return a broker URL without the options that redis-py refuses."""
    base, _, query = url.replace("redis+socket://", "unix://", 1).partition("?")
    wanted = (*_SHARED, *(_OF_TLS if base.startswith("rediss:") else ()))
    options = [
        ("db" if name == "virtual_host" else name, _CELERYS_WORDS.get(value, value))
        for name, value in parse_qsl(query)
        if name.startswith(wanted)
    ]
    return f"{base}?{urlencode(options)}" if options else base


def _brokers(url: str) -> list[str]:
    """Return the URLs in CELERY_BROKER_URL, separated by semicolons, for Celery's failover."""
    addresses = url.split(";")
    for address in addresses:
        if len(addresses) > 1 and "://" not in address:
            stop(
                "CELERY_BROKER_URL: each of several URLs must start with its scheme, such as "
                "amqp://; write a semicolon in a password as %3B."
            )
        _check_address("CELERY_BROKER_URL", address)
        scheme, separator, _ = address.partition("://")
        if len(addresses) == 1:  # kombu knows redis+socket:// and the like for a single one only
            scheme = scheme.partition("+")[0]
        if separator and scheme == "sentinel":  # it needs the master's name, which no URL carries
            stop(
                "CELERY_BROKER_URL: sentinel:// is not supported. Give the redis:// URL of the "
                "server, or of a proxy that follows the master."
            )
        if separator and scheme not in TRANSPORT_ALIASES:
            stop("CELERY_BROKER_URL must start with redis://, amqp:// or another broker of Celery.")
    return addresses


def _check_address(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its message may hold the password
        stop(f"{name} is not a valid URL; write special characters of the password as %XX.")
    # Kombu would refuse another one with each connection, and redis-py would take database 0.
    if parts.scheme in _BY_NUMBER and not re.fullmatch(r"/?/?[0-9]*", parts.path, re.ASCII):
        stop(f"{name}: the database of Redis must be a number; give for example redis://host/0.")


def caches(redis_url: str) -> dict[str, dict[str, Any]]:
    """Return CACHES: Redis, or without one a table that `migrate` creates."""
    backend: str
    location: str | list[str]
    if redis_url:
        # A list, since Django would split a text at commas and semicolons in the password.
        backend, location = "cdcproject.web.throttle_cache.SharedCache", [redis_url]
    else:
        backend, location = "cdcproject.web.throttle_cache.TableCache", "cdc_cache"
    return {"default": {"BACKEND": backend, "LOCATION": location, "KEY_PREFIX": "cdc-cache"}}
