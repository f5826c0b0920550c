"""Read and validate environment variables. A wrong value stops start-up with one line."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit, urlunsplit

import dj_database_url
from cryptography.fernet import Fernet
from environs import Env, FileAwareEnv

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"
#: Variables that NAME_FILE can replace with a file. References to secrets cannot name them.
SECRETS = (
    "SECRET_KEY",
    "CDC_ENCRYPTION_KEYS",
    "DATABASE_URL",
    "DATABASE_PASSWORD",
    "CELERY_BROKER_URL",
    "CELERY_BROKER_PASSWORD",
    "REDIS_URL",
    "REDIS_PASSWORD",
    "CDC_INCIDENT_WEBHOOK",
    "CDC_INCIDENT_WEBHOOK_SECRET",
    "EMAIL_HOST_PASSWORD",
    "OTEL_EXPORTER_OTLP_HEADERS",
)


def stop(message: str) -> NoReturn:
    sys.exit(f"configuration error: {message}")


def with_secret_files() -> Env:
    """Return a reader that reads NAME from the file in NAME_FILE, stripped of white space.

    A file that cannot be read, or a secret given in both ways, stops start-up. An empty file counts
    as not set.
    """
    for name in SECRETS:
        path = os.environ.get(f"{name}_FILE")
        if not path:
            continue
        if os.environ.get(name):
            stop(f"{name} and {name}_FILE are both set; give one of them.")
        try:
            Path(path).read_text("utf-8")
        except OSError as error:
            stop(f"{name}_FILE: {path} cannot be read ({error.strerror}).")
        except UnicodeDecodeError:  # its message may hold the secret
            stop(f"{name}_FILE: {path} is not text in UTF-8.")
    return FileAwareEnv(strip_whitespace=True)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        stop(f"{name} is {value!r}; use one of {', '.join(choices)}.")
    return value


def at_least(name: str, value: int, least: int) -> int:
    if value < least:
        stop(f"{name} is {value}; it must be {least} or more.")
    return value


def retention_days(env: Env, least: int, most: int) -> int | None:
    """Return CDC_RETENTION_DAYS; None: entries are never pruned."""
    if not env.str("CDC_RETENTION_DAYS", ""):
        return None
    days = env.int("CDC_RETENTION_DAYS")
    if not least <= days <= most:
        stop(
            f"CDC_RETENTION_DAYS is {days}; give {least} to {most}, or leave it out to keep "
            "everything."
        )
    return days


def rate(env: Env, name: str, default: str) -> str:
    value = env.str(name, default)
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(sec|min|hour|day)", value):
        stop(f"{name} is {value!r}; give a number per sec, min, hour or day, such as {default}.")
    return value


def port(env: Env, name: str) -> int | None:
    """Return a port; None: the variable is not set."""
    if not env.str(name, ""):
        return None
    number: int = env.int(name)
    if not 1 <= number <= 65_535:
        stop(f"{name} is {number}; give a port, 1 to 65535.")
    return number


def queue(env: Env, name: str, default: str) -> str:
    value: str = env.str(name, "") or default
    if not re.fullmatch(r"[A-Za-z0-9_-][\w.-]{0,91}", value, re.ASCII) or value.startswith("amq."):
        stop(
            f"{name} is {value!r}; give a queue name of up to 92 letters, digits, dots, hyphens "
            "and underscores that does not start with a dot or with amq."
        )
    return value


def alive_file(env: Env) -> str:
    path: str = env.str("CDC_ALIVE_FILE", "")
    if path and not Path(path).parent.is_dir():
        stop(f"CDC_ALIVE_FILE: {Path(path).parent} is not a folder.")
    return path


_SECONDS = {"sec": 1, "min": 60, "hour": 3600, "day": 86_400}


def most_in_seconds(rate: str) -> tuple[int, int]:
    """Return the number and the seconds of a rate such as 20/hour."""
    most, _, unit = rate.partition("/")
    return int(most), _SECONDS[unit]


def names(env: Env, name: str) -> list[str]:
    """Return a comma-separated list."""
    return [part.strip() for part in env.str(name, "").split(",") if part.strip()]


_POSTGRESQL_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def database(url: str, var_dir: Path, *, password: str = "") -> dict[str, Any]:
    """Return Django's settings of the database; without a `url`, SQLite under `var_dir`.

    `password` is added to a URL that has none.
    """
    try:
        config: dict[str, Any] = dict(
            dj_database_url.parse(
                url or f"sqlite:///{quote(str(var_dir / 'db.sqlite3'))}",
                conn_max_age=60,
                conn_health_checks=True,
            )
        )
    except ValueError as error:  # its message may hold the password
        stop(f"DATABASE_URL is not a database URL ({type(error).__name__}).")
    if config.get("ENGINE") not in (SQLITE, POSTGRESQL):
        stop("DATABASE_URL must start with postgres:// or sqlite:///.")
    if password:
        if config["ENGINE"] != POSTGRESQL or config["PASSWORD"]:
            stop(
                "DATABASE_PASSWORD is set; DATABASE_URL must then start with postgres:// and have "
                "no password."
            )
        config["PASSWORD"] = password
    if config["ENGINE"] == POSTGRESQL:
        # With timeouts, so that a lost server is detected.
        config["OPTIONS"] = _postgresql_options(config.get("OPTIONS", {}))
    if config["ENGINE"] == SQLITE:
        # Listener, workers and web server write concurrently: with IMMEDIATE, writers wait for each
        # other at BEGIN instead of failing within a transaction.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        Path(config["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    return config


def _postgresql_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of psycopg; `prepare_threshold` is a number, or `none` in the URL."""
    options = {**_POSTGRESQL_OPTIONS, **given}
    threshold = options.get("prepare_threshold")
    if threshold == "none":
        options["prepare_threshold"] = None
    elif threshold is not None and not isinstance(threshold, int):
        stop("DATABASE_URL: prepare_threshold must be a number of executions, or none.")
    return options


def embedded_broker_socket(var_dir: Path) -> Path:
    """Return a path under `var_dir`, or in the temporary folder if that path is too long."""
    path = var_dir / "broker" / "broker.sock"
    if len(str(path)) < 100:
        return path
    digest = hashlib.sha256(str(var_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"salesforce-cdc-{digest}" / "broker.sock"


def check_address(name: str, url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError:  # its message may hold the password
        stop(f"{name} is not a valid URL; write special characters of the password as %XX.")


def broker_addresses(url: str) -> list[str]:
    """Return the URLs in CELERY_BROKER_URL, separated by semicolons, for Celery's failover."""
    addresses = url.split(";")
    for address in addresses:
        if len(addresses) > 1 and "://" not in address:
            stop(
                "CELERY_BROKER_URL: each of several URLs must start with its scheme, such as "
                "amqp://; write a semicolon in a password as %3B."
            )
        check_address("CELERY_BROKER_URL", address)
    return addresses


def with_password(name: str, url: str, password: str) -> str:
    """Return a URL with the password of `name`_PASSWORD; several brokers share the password."""
    if not password:
        return url
    if name == "CELERY_BROKER":
        return ";".join(
            _with_password(name, address, password) for address in broker_addresses(url)
        )
    check_address(f"{name}_URL", url)
    return _with_password(name, url, password)


def _with_password(name: str, url: str, password: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.password:
        stop(f"{name}_PASSWORD is set; {name}_URL must have a host and no password.")
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


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


def encryption_keys(env: Env, secret_key: str, *, debug: bool) -> list[str]:
    keys = names(env, "CDC_ENCRYPTION_KEYS")
    if not keys and debug:
        keys = [base64.urlsafe_b64encode(hashlib.sha256(secret_key.encode()).digest()).decode()]
    if not keys:
        stop("CDC_ENCRYPTION_KEYS is not set; give one or more Fernet keys, separated by commas.")
    for number, key in enumerate(keys, 1):
        try:
            Fernet(key)
        except ValueError:
            stop(f"CDC_ENCRYPTION_KEYS: key {number} is not a Fernet key (32 bytes in base64).")
    return keys


def static_files(root: str) -> tuple[str | None, dict[str, dict[str, str]]]:
    """Return STATIC_ROOT and STORAGES.

    With a root, `collectstatic` compresses the files and adds a hash to their names, so that
    browsers can cache them permanently.
    """
    served = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    packaged = "django.contrib.staticfiles.storage.StaticFilesStorage"
    return root or None, {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": served if root else packaged},
    }
