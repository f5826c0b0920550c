import os
from contextlib import closing

import psycopg
import pytest
from django.db import connection, connections

ALIAS = "upgraded"


@pytest.fixture
def database(tmp_path, django_db_blocker, monkeypatch):
    """The alias of an empty database, beside that of the tests."""
    is_sqlite = connection.vendor == "sqlite"
    name = str(tmp_path / "upgraded.sqlite3") if is_sqlite else f"upgraded_{os.getpid()}"
    monkeypatch.setitem(connections.settings, ALIAS, {**connection.settings_dict, "NAME": name})
    with django_db_blocker.unblock():
        if not is_sqlite:
            _on_the_server(f"CREATE DATABASE {name}")
        yield ALIAS
        connections[ALIAS].close()
        del connections[ALIAS]
        if not is_sqlite:
            _on_the_server(f"DROP DATABASE {name} WITH (FORCE)")


def _on_the_server(statement: str) -> None:
    with closing(psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)) as server:
        server.execute(statement)
