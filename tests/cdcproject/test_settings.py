"""A wrong value stops start-up with one line that names the variable."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.nursery import ROOT, nursery

GOOD = {"SECRET_KEY": "x" * 50, "CDC_ENCRYPTION_KEYS": "A" * 43 + "="}


def alone(environment: dict[str, str | None]) -> dict[str, str]:
    wanted = {"PATH": os.environ["PATH"], **GOOD, **environment}
    return {name: value for name, value in wanted.items() if value is not None}


def refused(environment: dict[str, str | None]) -> tuple[int, str]:
    """Return the exit code and the output of `manage.py check` with only these variables."""
    with tempfile.TemporaryFile("w+") as said, Path(os.devnull).open() as nothing:
        files = [nothing.fileno(), said.fileno(), said.fileno()]
        code = nursery().start(["manage.py", "check"], alone(environment), files).wait(60)
        said.seek(0)
        return code, said.read()


def start(**environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run the same where every warning is an error from the first import on."""
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "check"],
        cwd=ROOT,
        env=alone(environment),
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY is not set"),
        ({"CDC_ENCRYPTION_KEYS": None}, "CDC_ENCRYPTION_KEYS is not set"),
        ({"CDC_ENCRYPTION_KEYS": f"{'A' * 43}=,short"}, "CDC_ENCRYPTION_KEYS: key 2 is not"),
        ({"DEBUG": "perhaps"}, "DEBUG"),
        ({"DATABASE_URL": "mysql://u:hunter2@h/d"}, "DATABASE_URL must start with"),
        ({"DATABASE_URL": "postgres://u:hunter2@h:port/d"}, "DATABASE_URL is not a database"),
        (
            {"DATABASE_URL": "postgres://h/d?prepare_threshold=few"},
            "prepare_threshold must be a number",
        ),
        ({"DATABASE_URL_SHOP": "mysql://u:hunter2@h/d"}, "DATABASE_URL_SHOP must start with"),
        ({"DATABASE_URL_SHOP": "postgres://u:hunter2@h:p/d"}, "DATABASE_URL_SHOP is not a data"),
        ({"DATABASE_URL_shop": "postgres://u:hunter2@h/d"}, "DATABASE_URL_shop: the alias after"),
        ({"DATABASE_URL_DEFAULT": "sqlite:///x"}, "DATABASE_URL_DEFAULT: the alias default is"),
        (
            {"DATABASE_URL": "sqlite:////tmp/x.db", "DATABASE_URL_SHOP": "sqlite:////tmp/x.db"},
            "DATABASE_URL_SHOP is the same file as DATABASE_URL",
        ),
        ({"DATABASE_PASSWORD_SHOP": "hunter2"}, "DATABASE_PASSWORD_SHOP is set, but DATABASE_URL"),
        (
            {"DATABASE_URL_SHOP": "postgres://u:a@h/d", "DATABASE_PASSWORD_SHOP": "hunter2"},
            "DATABASE_PASSWORD_SHOP is set; DATABASE_URL_SHOP must then start with",
        ),
        ({"DATABASE_URL_SHOP_FILE": "/no/file"}, "DATABASE_URL_SHOP_FILE: /no/file cannot be"),
        ({"REDIS_URL": "http://h/0"}, "REDIS_URL must start with redis://"),
        ({"REDIS_URL": "redis://:hun/ter2@h/0"}, "REDIS_URL is not a valid URL"),
        ({"REDIS_URL": "redis://:hunter2@h/0?visibility=1"}, "REDIS_URL: an option in its query"),
        (
            {"CELERY_BROKER_URL": "amqp://a:hunter2@h:port//"},
            "CELERY_BROKER_URL is not a valid URL",
        ),
        ({"CELERY_BROKER_URL": "amqp://hunter2;2@h"}, "CELERY_BROKER_URL: each of several"),
        ({"CELERY_BROKER_URL": "reddis://:hunter2@h/0"}, "CELERY_BROKER_URL must start with redis"),
        (
            {"CELERY_BROKER_URL": "redis+socket:///run/a.sock;redis://h/0"},
            "CELERY_BROKER_URL must start with redis",
        ),
        (
            {"CELERY_BROKER_URL": "redis://:hunter2@h/celery"},
            "CELERY_BROKER_URL: the database of Redis must be a number",
        ),
        (
            {"CELERY_BROKER_URL": "redis://a/0;rediss://b/celery"},
            "CELERY_BROKER_URL: the database of Redis must be a number",
        ),
        (
            {"CELERY_BROKER_URL": "sentinel://:hunter2@a:26379/0;sentinel://b:26379/0"},
            "CELERY_BROKER_URL: sentinel:// is not supported",
        ),
        ({"REDIS_URL": "rediss://:hunter2@h/tokens"}, "REDIS_URL: the database of Redis must be"),
        ({"DATABASE_URL": "postgres://cdc:hunter2@h"}, "DATABASE_URL names no database"),
        ({"VAR_DIR": os.devnull}, f"VAR_DIR: the folder {os.devnull} cannot be created"),
        ({"DATABASE_URL": f"sqlite:///{os.devnull}/x/cdc.db"}, "DATABASE_URL: the folder"),
        ({"ALLOWED_HOSTS": "*.example.com"}, "ALLOWED_HOSTS: '*.example.com' matches no host"),
        (
            {"CSRF_TRUSTED_ORIGINS": "https://cdc.example.com/admin"},
            "CSRF_TRUSTED_ORIGINS: 'https://cdc.example.com/admin' matches no origin",
        ),
        ({"DEFAULT_FROM_EMAIL": "Salesforce CDC"}, "DEFAULT_FROM_EMAIL is 'Salesforce CDC'; give"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL is 'LOUD'; use one of"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT is 'xml'; use one of"),
        ({"CDC_BATCH_MAX": "many"}, "CDC_BATCH_MAX"),
        ({"CDC_BATCH_MAX": "0"}, "CDC_BATCH_MAX is 0; it must be 1 or more"),
        ({"CDC_BATCH_WAIT_MS": "-1"}, "CDC_BATCH_WAIT_MS is -1; it must be 0 or more"),
        ({"CDC_RETENTION_DAYS": "3"}, "CDC_RETENTION_DAYS is 3; give 4 to 36500"),
        ({"CDC_RETENTION_DAYS": "month"}, "CDC_RETENTION_DAYS"),
        ({"CDC_RUN_SECONDS": "19"}, "CDC_RUN_SECONDS is 19; it must be 20 or more"),
        ({"CDC_CLAIM_SECONDS": "soon"}, "CDC_CLAIM_SECONDS"),
        ({"CDC_HANDLER_MODULES": "no.such.module"}, "CDC_HANDLER_MODULES"),
        ({"CDC_QUEUE": "crm,cdc"}, "CDC_QUEUE is 'crm,cdc'; give a queue name"),
        ({"CDC_QUEUE": "amq.cdc"}, "CDC_QUEUE is 'amq.cdc'; give a queue name"),
        ({"CDC_APPS": "crm.no.such"}, "CDC_APPS: there is no app 'crm.no.such'"),
        ({"CDC_APPS": "listeners"}, "CDC_APPS lists listeners, which is already installed"),
        ({"CDC_APPS": "json,json"}, "CDC_APPS lists json, which is already installed"),
        ({"CDC_APPS": "../crm"}, "CDC_APPS: there is no app '../crm'"),
        ({"CDC_WORKER_METRICS_PORT": "http"}, "CDC_WORKER_METRICS_PORT"),
        ({"CDC_WORKER_METRICS_PORT": "0"}, "CDC_WORKER_METRICS_PORT is 0; give a port"),
        ({"CDC_OUTAGE_SECONDS": "0"}, "CDC_OUTAGE_SECONDS is 0; it must be 1 or more"),
        ({"CDC_INCIDENT_WEBHOOK": "hunter2:hook"}, "CDC_INCIDENT_WEBHOOK must be a URL"),
    ],
)
def test_a_wrong_value_stops_start_up_with_one_line(environment, said):
    code, output = refused(environment)

    assert code != 0
    assert said in output
    assert len(output.strip().splitlines()) == 1
    assert "hunter2" not in output


def test_debug_needs_no_keys():
    assert start(SECRET_KEY=None, CDC_ENCRYPTION_KEYS=None, DEBUG="true").returncode == 0


def test_a_handler_module_is_imported():
    done = start(CDC_HANDLER_MODULES="tests.sample_handlers", CDC_TEST_FOLDER="/nowhere")

    assert done.returncode == 0, done.stderr


def test_a_database_that_takes_connections_and_says_nothing_is_not_waited_for_for_ever():
    connect = "from django.db import connection; connection.ensure_connection()"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", connect],
            cwd=ROOT,
            env=alone({"DATABASE_URL": f"postgres://cdc:hunter2@127.0.0.1:{port}/cdc"}),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert done.returncode != 0
    assert "timeout" in done.stderr
    assert "hunter2" not in done.stderr
