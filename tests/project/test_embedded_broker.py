"""The broker of those who name none: there for as long as anybody uses it."""

import os
import subprocess
import sys

import pytest

from tests.nursery import ROOT
from tests.servers import wait_for

USER = """
import sys, django
django.setup()
from cdcproject.broker import ensure_embedded_broker
from cdcproject.celery import app
ensure_embedded_broker()
with app.connection_for_write() as connection:
    print(connection.default_channel.client.incr("uses"), flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the broker until its input ends."""

    def __init__(self, folder):
        environment = {**os.environ, "VAR_DIR": str(folder)}
        environment |= {"DJANGO_SETTINGS_MODULE": "cdcproject.settings"}
        del environment["CELERY_BROKER_URL"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", USER],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def uses(self) -> int:
        return int(self._process.stdout.readline())

    def leave(self) -> None:
        self._process.communicate()


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    wait_for(lambda: not (tmp_path / "broker" / "broker.sock").exists(), what="the broker's end")


def test_the_first_starts_it_and_it_outlives_the_first(folder):
    first = User(folder)
    assert first.uses() == 1
    second = User(folder)
    assert second.uses() == 2

    first.leave()

    third = User(folder)
    assert third.uses() == 3
    second.leave()
    third.leave()


def test_what_it_holds_outlives_it(folder):
    first = User(folder)
    assert first.uses() == 1
    first.leave()
    wait_for(lambda: not (folder / "broker" / "broker.sock").exists())

    second = User(folder)

    assert second.uses() == 2
    second.leave()
