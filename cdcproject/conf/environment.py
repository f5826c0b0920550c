"""Read and validate environment variables. A wrong value stops start-up with one line."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from cryptography.fernet import Fernet
from environs import Env, FileAwareEnv

#: Variables that NAME_FILE can replace with a file. References to secrets cannot name them.
SECRETS = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
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

#: The same for further databases: DATABASE_URL_<ALIAS> and DATABASE_PASSWORD_<ALIAS>.
_FURTHER = re.compile(r"(DATABASE_(?:URL|PASSWORD)_(?!FILE$).+?)(_FILE)?")


def stop(message: str) -> NoReturn:
    sys.exit(f"configuration error: {message}")


def further_secrets(names: Iterable[str]) -> list[str]:
    """Return the variables of further databases among the names, without the suffix _FILE."""
    matches = (_FURTHER.fullmatch(name) for name in names)
    return sorted({match[1] for match in matches if match})


def with_secret_files() -> Env:
    """Return a reader that reads NAME from the file in NAME_FILE, stripped of white space.

    A file that cannot be read, or a secret given in both ways, stops start-up. An empty file counts
    as not set.
    """
    for name in (*SECRETS, *further_secrets(os.environ)):
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


def at_least(env: Env, name: str, default: int, *, least: int) -> int:
    value: int = env.int(name, default)
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


def names(env: Env, name: str) -> list[str]:
    """Return a comma-separated list."""
    return [part.strip() for part in env.str(name, "").split(",") if part.strip()]


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
