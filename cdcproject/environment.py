"""What the environment says, read for the settings. A wrong value stops start-up with one line."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

import dj_database_url
from cryptography.fernet import Fernet
from environs import Env

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"


def stop(message: str) -> NoReturn:
    sys.exit(f"configuration error: {message}")


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        stop(f"{name} is {value!r}; use one of {', '.join(choices)}.")
    return value


def at_least(name: str, value: int, least: int) -> int:
    if value < least:
        stop(f"{name} is {value}; it must be {least} or more.")
    return value


def retention_days(env: Env, least: int, most: int) -> int | None:
    """None: the audit log is kept for ever."""
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
        stop(f"{name} is {value!r}; give a number of requests a time, such as {default}.")
    return value


_SECONDS = {"sec": 1, "min": 60, "hour": 3600, "day": 86_400}


def most_in_seconds(rate: str) -> tuple[int, int]:
    """What a rate such as 20/hour allows, and in how many seconds."""
    most, _, unit = rate.partition("/")
    return int(most), _SECONDS[unit]


def names(env: Env, name: str) -> list[str]:
    """A list, separated by commas."""
    return [part.strip() for part in env.str(name, "").split(",") if part.strip()]


_POSTGRESQL_OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def database(url: str, var_dir: Path) -> dict[str, Any]:
    """PostgreSQL in production, SQLite in WAL mode under `var_dir` when nothing is named."""
    try:
        config: dict[str, Any] = dict(
            dj_database_url.parse(
                url or f"sqlite:///{quote(str(var_dir / 'db.sqlite3'))}",
                conn_max_age=60,
                conn_health_checks=True,
            )
        )
    except ValueError as error:  # its message may hold the password
        stop(f"DATABASE_URL is not a database address ({type(error).__name__}).")
    if config.get("ENGINE") not in (SQLITE, POSTGRESQL):
        stop("DATABASE_URL must begin with postgres:// or sqlite:///.")
    if config["ENGINE"] == POSTGRESQL:
        # A server that vanished without a word is one that does not answer.
        config["OPTIONS"] = _postgresql_options(config.get("OPTIONS", {}))
    if config["ENGINE"] == SQLITE:
        # The listener, the workers and the web server write at once: writers queue at BEGIN
        # (IMMEDIATE) and wait for each other instead of failing in the middle.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        Path(config["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    return config


def _postgresql_options(given: dict[str, Any]) -> dict[str, Any]:
    """`prepare_threshold`: a number, or in the address the word none."""
    options = {**_POSTGRESQL_OPTIONS, **given}
    threshold = options.get("prepare_threshold")
    if threshold == "none":
        options["prepare_threshold"] = None
    elif threshold is not None and not isinstance(threshold, int):
        stop("DATABASE_URL: prepare_threshold is a number of executions, or none.")
    return options


def embedded_broker_socket(var_dir: Path) -> Path:
    """Under `var_dir`, or under the temporary folder where that path is too long for a socket."""
    path = var_dir / "broker" / "broker.sock"
    if len(str(path)) < 100:
        return path
    digest = hashlib.sha256(str(var_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"salesforce-cdc-{digest}" / "broker.sock"


def _check_address(name: str, url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError:  # its message may hold the password
        stop(f"{name} is not an address; write special characters of its password as %XX.")


def redis_address(url: str, broker_url: str) -> str:
    """An address for redis-py; empty when there is no Redis."""
    for name, text in (("REDIS_URL", url), ("CELERY_BROKER_URL", broker_url)):
        _check_address(name, text)
    if not url and "redis" not in broker_url.partition("://")[0]:
        return ""
    address = url or broker_url.replace("redis+socket://", "unix://", 1)
    if not address.startswith(("redis://", "rediss://", "unix://")):
        stop("REDIS_URL must begin with redis://, rediss:// or unix://.")
    return address


def caches(redis_url: str) -> dict[str, dict[str, Any]]:
    """Without a Redis the database counts: `migrate` makes its table."""
    if redis_url:
        backend, location = "cdcproject.shared_cache.SharedCache", redis_url
    else:
        backend, location = "cdcproject.shared_cache.TableCache", "cdc_cache"
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
