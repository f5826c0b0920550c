"""The demo's environment: a new database and broker in its folder, and secrets that are kept."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet


def prepare(folder: Path) -> None:
    """Set the environment variables for this process and its children, and set up Django."""
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
        "PYTHONUNBUFFERED": "1",
    }
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL", "DEBUG", "CDC_HANDLER_MODULES"):
        os.environ.pop(name, None)
    import django

    django.setup()


def _secret(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(make())
    return path.read_text()
