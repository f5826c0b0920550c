"""DATABASE_URL_<ALIAS> adds a database for the user's tables; the product's stay in the default
one."""

import sqlite3
from contextlib import closing

import pytest
from django.conf import settings

from listeners.secrets.reference_rules import flaw
from tests.cdcproject.own_project import OwnProject

MODELS = """
    from django.db import models


    class Account(models.Model):
        name = models.TextField(null=True)
"""
DOWN = "postgres://shop:secret@localhost:1/shop"
ASK = """
    import django
    django.setup()
    from cdcproject.web.probes import _CHECKS, _answer
    from concurrent.futures import wait
    from consumer.status import metrics_page
    from django.db import connections

    asked = _CHECKS["database"].begin()
    wait([asked], timeout=30)
    print(_answer(asked), b"cdc_" in metrics_page.page(), sorted(connections))
    for connection in connections.all(initialized_only=True):
        print(connection.alias)
"""


@pytest.fixture
def project(tmp_path):
    project = OwnProject(tmp_path, {"DJANGO_SETTINGS_MODULE": "cdcproject.settings"})
    project.environment["CDC_APPS"] = "crm"
    project.write({"crm/__init__.py": "", "crm/models.py": MODELS, "ask.py": ASK})
    return project


def tables(path):
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in rows if not name.startswith("sqlite_")}


def test_it_gets_the_tables_of_the_users_apps_alone(project):
    project.environment["DATABASE_URL_SHOP"] = f"sqlite:///{project.folder}/shop.sqlite3"
    project.manage("makemigrations", "crm")
    project.manage("migrate", "--database", "shop")
    project.manage("migrate")
    assert tables(project.folder / "shop.sqlite3") == {"django_migrations", "crm_account"}
    assert {"mirror_mirror", "auth_user"} < tables(project.folder / "db.sqlite3")


def test_one_that_is_down_stops_nothing_else(project):
    project.environment["DATABASE_URL_SHOP"] = DOWN
    project.manage("check")
    project.manage("makemigrations", "crm")
    project.manage("migrate")

    done = project.run("ask.py")

    assert done.stdout.splitlines() == ["ok True ['default', 'shop']", "default"], done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_it_has_the_options_of_the_default_one(project):
    project.environment["DATABASE_URL_SHOP"] = DOWN
    project.environment["DATABASE_URL"] = DOWN.replace("shop", "cdc")
    shell = "from django.conf import settings; d = settings.DATABASES; print(all("
    shell += "d['default'][k] == d['shop'][k] for k in ('OPTIONS', 'CONN_MAX_AGE')))"
    assert project.manage("shell", "--no-imports", "-c", shell).strip() == "True"


def test_its_address_is_no_secret_for_connections(monkeypatch):
    monkeypatch.setattr(settings, "CDC_SECRETS_READABLE", everything())
    assert "not allowed" in flaw("env:DATABASE_URL_SHOP")
    assert "not allowed" in flaw("env:DATABASE_PASSWORD_SHOP")
    assert not flaw("env:DATABASE")


def everything():
    from cdcproject.egress_policy import Readable

    return Readable(("*",), ())
