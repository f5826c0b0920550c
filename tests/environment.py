"""Prepares the environment before Django reads its settings: database, broker and throwaway keys.

TEST_DATABASE=postgres starts a PostgreSQL server for the run, and so does TEST_DATABASE=any where
PostgreSQL is installed; otherwise SQLite is used. All values are set in the environment, so that
the processes that tests start inherit them. Hundreds of processes import this module, so imports
that only the first one needs are inside its functions.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path


def prepare() -> Path:
    """Prepare the run once, in its first process, and choose this parallel worker's own broker."""
    if "CDC_TEST_RUN" not in os.environ:
        _begin()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder = Path(os.environ["CDC_TEST_RUN"]) / worker
    folder.mkdir(exist_ok=True)
    os.environ["CDC_TEST_FOLDER"] = str(folder)
    own = f"redis+socket://{folder}/broker.sock"
    os.environ["CELERY_BROKER_URL"] = os.environ.get("CDC_TEST_BROKER_URL") or own
    return folder


def _begin() -> None:
    import pytest
    from cryptography.fernet import Fernet

    database = os.environ.get("TEST_DATABASE", "sqlite")
    if database not in ("sqlite", "postgres", "any"):
        raise pytest.UsageError(f"TEST_DATABASE is {database!r}; use sqlite, postgres or any")
    run = Path(tempfile.mkdtemp(prefix="cdc-tests-"))
    atexit.register(shutil.rmtree, run, ignore_errors=True)
    os.environ |= {
        "CDC_TEST_RUN": str(run),
        "DATABASE_URL": _database_url(run, database),
        "SECRET_KEY": secrets.token_urlsafe(40),
        "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "CDC_APPS": "tests.mirror.crm",
        "CDC_HANDLER_MODULES": "tests.sample_handlers,tests.browser.crm_handlers",
        "LOG_FORMAT": "json",
    }
    os.environ.pop("DEBUG", None)


def _database_url(run: Path, database: str) -> str:
    import pytest

    from tests.servers import PostgresServer, missing_postgres

    missing = missing_postgres() if database != "sqlite" else ""
    if missing and (database == "postgres" or os.environ.get("CI") == "true"):
        raise pytest.UsageError(missing)
    if missing or database == "sqlite":
        return f"sqlite:///{run}/db.sqlite3"
    server = PostgresServer(run / "postgres")
    server.start()
    atexit.register(server.stop)
    return server.url
