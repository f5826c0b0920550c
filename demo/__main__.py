"""Run the demo (`python -m demo`). With DEMO_SECONDS it ends by itself and checks the result."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

from cdcproject.conf.folders import var_dir


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    folder = var_dir() / "demo"
    try:
        seconds = float(os.environ.get("DEMO_SECONDS") or 0)
    except ValueError:
        return _stop(
            f"DEMO_SECONDS is {os.environ['DEMO_SECONDS']!r}; set it to a number of seconds."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _stop("another demo is already running in this folder; stop it first.")
        _prepare(folder)
        from demo.stage import play

        return play(folder, seconds)


def _prepare(folder: Path) -> None:
    """Set up Django for this process and its children: a new database and broker in the folder, and
    secrets that are kept."""
    for stale in folder.glob("db.sqlite3*"):
        stale.unlink()  # it describes the simulated org of the last run, which is gone
    shutil.rmtree(folder / "broker", ignore_errors=True)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "cdcproject.settings",
        "VAR_DIR": str(folder),
        "SECRET_KEY": _secret(folder / "secret_key", lambda: secrets.token_urlsafe(50)),
        "CDC_ENCRYPTION_KEYS": _secret(
            folder / "encryption_keys", lambda: Fernet.generate_key().decode()
        ),
        "CDC_APPS": "demo.crm",
        "PYTHONUNBUFFERED": "1",
    }
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL", "DEBUG", "CDC_HANDLER_MODULES"):
        os.environ.pop(name, None)
    import django

    django.setup()
    logging.getLogger("mirror").setLevel(logging.WARNING)  # the demo says it in its own words


def _secret(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(make())
    return path.read_text()


def _stop(message: str) -> int:
    sys.stderr.write(f"demo: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
