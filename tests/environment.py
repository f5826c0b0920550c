"""Prepares the environment before Django reads its settings: database, broker and throwaway keys.

TEST_DATABASE=postgres starts a PostgreSQL server for the run; without it SQLite is used. All values
are set in the environment, so that the processes that tests start inherit them. Hundreds of
processes import this module, so imports that only the first one needs are inside its functions.
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
    if database not in ("sqlite", "postgres"):
        raise pytest.UsageError(f"TEST_DATABASE is {database!r}; use sqlite or postgres")
    run = Path(tempfile.mkdtemp(prefix="cdc-tests-"))
    atexit.register(shutil.rmtree, run, ignore_errors=True)
    os.environ |= {
        "CDC_TEST_RUN": str(run),
        "DATABASE_URL": _postgres(run) if database == "postgres" else f"sqlite:///{run}/db.sqlite3",
        "SECRET_KEY": secrets.token_urlsafe(40),
        "CDC_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "CDC_APPS": "tests.mirror.crm",
        "CDC_HANDLER_MODULES": "tests.sample_handlers,tests.browser.crm_handlers",
        "LOG_FORMAT": "json",
    }
    os.environ.pop("DEBUG", None)


def _postgres(run: Path) -> str:
    import pytest

    from tests.servers import PostgresServer, missing_postgres

    missing = missing_postgres()
    if missing and os.environ.get("CI") == "true":
        raise pytest.UsageError(missing)
    if missing:
        pytest.exit(f"not run on PostgreSQL: {missing}", returncode=0)
    server = PostgresServer(run / "postgres")
    server.start()
    atexit.register(server.stop)
    return server.url
