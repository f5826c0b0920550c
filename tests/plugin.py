"""Before Django's settings are read: which database, which broker, throwaway keys.

`--database postgres` starts a PostgreSQL server of its own. Everything is set in the environment,
so that the processes that tests start (workers, listeners) see the same.
"""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.servers import PostgresServer, missing_postgres

_started: list[PostgresServer] = []
_folder = Path(tempfile.mkdtemp(prefix="cdc-tests-"))


def pytest_addoption(parser):
    parser.addoption(
        "--database",
        choices=["sqlite", "postgres"],
        default="sqlite",
        help="the database that the tests run on",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config, parser, args):
    # The controller of a parallel run decides, its workers inherit.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    if not is_worker:
        wanted = parser.parse_known_args(args).database
        os.environ["DATABASE_URL"] = _postgres() if wanted == "postgres" else _sqlite()
        os.environ["SECRET_KEY"] = secrets.token_urlsafe(40)
        os.environ["CDC_ENCRYPTION_KEYS"] = Fernet.generate_key().decode()
        os.environ["CDC_HANDLER_MODULES"] = "tests.sample_handlers"
        os.environ["LOG_FORMAT"] = "json"
        os.environ.pop("DEBUG", None)
    os.environ["CELERY_BROKER_URL"] = f"redis+socket://{_folder}/broker.sock"
    os.environ["CDC_TEST_FOLDER"] = str(_folder)


def pytest_unconfigure():
    for server in _started:
        server.stop()
    shutil.rmtree(_folder, ignore_errors=True)


def _sqlite() -> str:
    return f"sqlite:///{_folder}/db.sqlite3"


def _postgres() -> str:
    missing = missing_postgres()
    if missing and os.environ.get("CI") == "true":
        raise pytest.UsageError(missing)
    if missing:
        pytest.exit(f"not run on PostgreSQL: {missing}", returncode=0)
    server = PostgresServer(_folder / "postgres")
    server.start()
    _started.append(server)
    return server.url
