"""NAME_FILE in place of NAME reads a secret from a file, so that no process list and no image shows
it."""

import json
import os
import re
import subprocess
import sys

import pytest
from environs import Env

from cdcproject.conf.environment import SECRETS, alive_file, with_secret_files
from cdcproject.conf.servers import database, redis_address, with_password
from tests.cdcproject.test_settings import alone, refused
from tests.nursery import ROOT

pytestmark = pytest.mark.anywhere

SHOWN = """
import json
from django.conf import settings
print(json.dumps({
    "SECRET_KEY": settings.SECRET_KEY,
    "SECRET_KEY_FALLBACKS": settings.SECRET_KEY_FALLBACKS,
    "CDC_ENCRYPTION_KEYS": settings.CDC_ENCRYPTION_KEYS,
    "DATABASE": {k: settings.DATABASES["default"][k] for k in ("HOST", "USER", "PASSWORD")},
    "BROKER": settings.CELERY_BROKER_URL,
    "REDIS": settings.REDIS_URL,
    "WEBHOOK": [settings.CDC_INCIDENT_WEBHOOK, settings.CDC_INCIDENT_WEBHOOK_SECRET],
    "MAIL": settings.CDC_MAIL.password,
}))
"""
KEY = "A" * 43 + "="


def read(tmp_path, contents, **environment):
    """Return the settings of a process with each of these values in a file."""
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
        environment[f"{name}_FILE"] = str(tmp_path / name)
        environment[name] = None
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", SHOWN]
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=alone(environment), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_secret_is_read_from_its_file(tmp_path):
    contents = {
        "SECRET_KEY": "a-key\n",
        "SECRET_KEY_FALLBACKS": "former,older\n",
        "CDC_ENCRYPTION_KEYS": f"{KEY},{KEY}\n",
        "DATABASE_PASSWORD": "p@ss/word\n",
        "CELERY_BROKER_PASSWORD": "br/ok:er\n",
        "REDIS_PASSWORD": "re@dis\n",
        "CDC_INCIDENT_WEBHOOK": "https://hooks.example/T0\n",
        "CDC_INCIDENT_WEBHOOK_SECRET": "signing\n",
        "EMAIL_HOST_PASSWORD": "mail\n",
    }

    settings = read(
        tmp_path,
        contents,
        DATABASE_URL="postgres://cdc@db:5432/cdc",
        CELERY_BROKER_URL="amqp://worker@rabbit:5672//",
        REDIS_URL="redis://cache:6379/1",
        EMAIL_HOST_USER="cdc",
    )

    assert settings == {
        "SECRET_KEY": "a-key",
        "SECRET_KEY_FALLBACKS": ["former", "older"],
        "CDC_ENCRYPTION_KEYS": [KEY, KEY],
        "DATABASE": {"HOST": "db", "USER": "cdc", "PASSWORD": "p@ss/word"},
        "BROKER": "amqp://worker:br%2Fok%3Aer@rabbit:5672//",
        "REDIS": "redis://:re%40dis@cache:6379/1",
        "WEBHOOK": ["https://hooks.example/T0", "signing"],
        "MAIL": "mail",
    }


def test_whole_addresses_may_be_in_files(tmp_path, monkeypatch):
    (tmp_path / "url").write_text("postgres://cdc:one@db/cdc\n")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))

    assert with_secret_files().str("DATABASE_URL") == "postgres://cdc:one@db/cdc"


def test_an_empty_file_is_a_secret_that_is_not_set(monkeypatch):
    monkeypatch.setenv("EMAIL_HOST_PASSWORD_FILE", os.devnull)

    assert with_secret_files().str("EMAIL_HOST_PASSWORD", "none") == ""


def test_a_file_that_is_not_there_stops_start_up_and_is_named():
    code, output = refused({"SECRET_KEY": None, "SECRET_KEY_FILE": "/run/secrets/none"})

    assert code != 0
    assert output == (
        "configuration error: SECRET_KEY_FILE: /run/secrets/none cannot be read "
        "(No such file or directory).\n"
    )


@pytest.mark.parametrize("name", SECRETS)
def test_each_file_is_looked_at_before_anything_is_read(name, tmp_path, monkeypatch):
    (tmp_path / "binary").write_bytes(b"\xff\xfehunter2")
    monkeypatch.delenv(name, raising=False)

    for path, said in (
        ("/tmp", "/tmp cannot be read (Is a directory)."),
        (f"{tmp_path}/binary", f"{tmp_path}/binary is not text in UTF-8."),
    ):
        monkeypatch.setenv(f"{name}_FILE", path)
        with pytest.raises(SystemExit, match=re.escape(f"{name}_FILE: {said}")):
            with_secret_files()


def test_a_secret_is_given_in_one_way(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    monkeypatch.setenv("SECRET_KEY_FILE", os.devnull)

    with pytest.raises(SystemExit, match="SECRET_KEY and SECRET_KEY_FILE are both set"):
        with_secret_files()


@pytest.mark.parametrize("url", ["", "sqlite:////tmp/db", "postgres://u:p@h/d"])
def test_a_password_of_its_own_goes_into_an_address_without_one(url, tmp_path):
    with pytest.raises(SystemExit, match="DATABASE_PASSWORD is set; DATABASE_URL must"):
        database(url, tmp_path, password="hunter2")


@pytest.mark.parametrize("url", ["", "redis+socket:///run/broker.sock", "redis://:p@h/0"])
def test_the_brokers_address_needs_a_host_and_no_password_too(url):
    with pytest.raises(SystemExit, match="CELERY_BROKER_URL must have a host and no password"):
        with_password("CELERY_BROKER", url, "hunter2")


def test_each_of_several_brokers_gets_it():
    url = with_password("CELERY_BROKER", "amqp://cdc@one//;amqp://cdc@two:5671//", "p;w")

    assert url == "amqp://cdc:p%3Bw@one//;amqp://cdc:p%3Bw@two:5671//"
    assert redis_address("", "redis://one/0;redis://two/0") == ""


def test_the_file_of_the_heartbeat_needs_its_folder(monkeypatch):
    monkeypatch.setenv("CDC_ALIVE_FILE", "/no/such/folder/alive")

    with pytest.raises(SystemExit, match="CDC_ALIVE_FILE: /no/such/folder is not a folder"):
        alive_file(Env())


@pytest.mark.parametrize("name", SECRETS)
def test_each_is_in_the_documentation(name):
    assert f"`{name}`" in (ROOT / "docs" / "deploying.md").read_text()
