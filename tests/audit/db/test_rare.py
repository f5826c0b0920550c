"""Rare values are looked up within a number of rows and a time."""

import pytest
from django.db import connection
from django.db.models.expressions import RawSQL

from audit.db import rare
from audit.db.rare import values_of_few
from listeners.models import Listener
from tests.sample_data import make_listener

pytestmark = pytest.mark.django_db


def test_the_values_of_few_rows_are_returned_and_those_of_more_are_not(monkeypatch):
    monkeypatch.setattr(rare, "FEW", 2)
    names = {make_listener().name for _ in range(2)}
    assert set(values_of_few(Listener.objects.all(), "name") or ()) == names

    make_listener()
    assert values_of_few(Listener.objects.all(), "name") is None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no function that waits")
def test_a_look_up_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(rare, "SECONDS", 0.05)
    make_listener()
    waiting = Listener.objects.annotate(wait=RawSQL("pg_sleep(60)::text", ()))

    assert values_of_few(waiting, "wait") is None
    assert Listener.objects.count() == 1  # the connection is usable
