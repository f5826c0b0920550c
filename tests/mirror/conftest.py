import time

import pytest

from listeners.salesforce.rest import answers, client
from mirror.load import load

_SETTLED = load.SETTLED


@pytest.fixture(autouse=True)
def _unhurried(unhurried):
    """Let all tests of mirrors be slow."""


@pytest.fixture(autouse=True)
def loads_that_need_not_settle(monkeypatch):
    """Let loads not wait for recent changes to settle, unless a test says so."""
    monkeypatch.setattr(load, "SETTLED", 0 * _SETTLED)


@pytest.fixture
def loads_that_settle(monkeypatch, loads_that_need_not_settle):
    monkeypatch.setattr(load, "SETTLED", _SETTLED)
    # A read counts from its request on: with a slow answer, from before the changes that the test
    # expects in it.
    monkeypatch.setattr(
        client, "known_until", lambda answer, _: answers.known_until(answer, time.monotonic())
    )
