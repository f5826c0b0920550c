"""`token_store` decides where a login's token is stored, and which processes use it."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection as database

from listeners.connections.token_sources import token_source
from listeners.models import Connection, TokenState
from listeners.secrets.encrypted_field import Secret
from tests.settings_on_the_wire.orgs import bearers, grant_types
from tests.settings_on_the_wire.stored import listening, stored
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

STORES = ["database", "redis", "memory"]


def in_database() -> list[str]:
    """Return the tokens in the stored form of the table."""
    with database.cursor() as cursor:
        cursor.execute("SELECT kept FROM listeners_kepttokens")
        return [text for (text,) in cursor.fetchall()]


def in_redis() -> list[str]:
    with redis.Redis.from_url(settings.REDIS_URL, decode_responses=True) as client:
        keys = client.scan_iter("salesforce-cdc:*:kept")
        return [str(text) for key in keys for text in client.hvals(key)]


@pytest.mark.parametrize(
    ("store", "places"), [("database", (1, 0)), ("redis", (0, 1)), ("memory", (0, 0))]
)
def test_the_token_is_kept_in_its_store_alone_and_cannot_be_read_there(
    org: SimulatorProcess, broker: Any, store: str, places: tuple[int, int]
) -> None:
    token = token_source(stored(org, "password", token_store=store, refresh_config={})).get()

    kept = in_database(), in_redis()
    assert (len(kept[0]), len(kept[1])) == places
    for text in (*kept[0], *kept[1]):
        assert token.access_token not in text
        assert org.credentials["refresh_token"] not in text
        assert token.access_token in Secret(text).reveal()
        assert org.credentials["refresh_token"] in Secret(text).reveal()


@pytest.mark.parametrize("store", STORES)
def test_another_part_of_the_process_uses_the_token_without_a_login(
    org: SimulatorProcess, broker: Any, store: str
) -> None:
    connection = stored(org, token_store=store)
    token = token_source(connection).get()

    again = token_source(Connection.objects.get(pk=connection.pk)).get()

    assert again.access_token == token.access_token
    assert grant_types(org) == ["client_credentials"]


@pytest.mark.parametrize(("store", "logins"), [("database", 1), ("redis", 1), ("memory", 2)])
def test_another_process_uses_the_token_or_logs_in_for_itself_where_it_is_in_memory(
    org: SimulatorProcess, processes: Any, store: str, logins: int
) -> None:
    connection = stored(org, token_store=store)
    listening(connection)
    token = token_source(connection).get()

    process = processes.listener()
    process.wait_for_output("subscribed")

    assert len(grant_types(org)) == logins
    assert (bearers(org) == [token.access_token]) is (logins == 1)


@pytest.mark.parametrize("store", STORES)
def test_a_token_that_was_refused_is_replaced_in_its_store(
    org: SimulatorProcess, broker: Any, store: str
) -> None:
    connection = stored(org, token_store=store)
    source = token_source(connection)
    first = source.get()
    source.invalidate(first)

    second = source.get()

    assert second.access_token != first.access_token
    assert token_source(connection).get().access_token == second.access_token
    assert len(grant_types(org)) == 2


@pytest.mark.parametrize("store", STORES)
def test_a_token_got_with_other_credentials_is_not_used(
    org: SimulatorProcess, broker: Any, store: str
) -> None:
    connection = stored(org, token_store=store)
    token_source(connection).get()

    connection.scopes = ["api"]
    connection.save()
    token = token_source(connection).get()

    assert token.scope == "api"
    assert len(grant_types(org)) == 2


def test_a_store_that_is_not_used_keeps_nothing_but_the_name(
    org: SimulatorProcess, broker: Any
) -> None:
    connection = stored(org, token_store="redis")

    token_source(connection).get()

    assert in_database() == []
    assert TokenState.objects.get(connection=connection).key
