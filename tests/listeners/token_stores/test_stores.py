"""All token stores give the same guarantees to the processes that share them."""

import time
from collections.abc import Callable

import pytest
from django.db import DatabaseError, connection

from listeners.models import Connection
from listeners.salesforce.tokens.persist import extended_lock
from listeners.salesforce.tokens.store import StoredTokens, TokenStore, TokenStoreUnavailable
from listeners.salesforce.tokens.tokens import Token
from listeners.token_stores import memory_store
from listeners.token_stores.database import DatabaseStore
from listeners.token_stores.redis import RedisStore
from tests.sample_data import make_listener
from tests.servers import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

KEPT = StoredTokens("seed", Token("access", "https://x.example"), 5.0, "refresh")
Make = Callable[[Connection], TokenStore]


@pytest.fixture(
    params=[DatabaseStore, RedisStore, memory_store], ids=["database", "redis", "memory"]
)
def make(request, settings, _valkey) -> Make:
    settings.REDIS_URL = f"unix://{_valkey.unix_socket_path}"
    return lambda org: request.param(org.pk)


@pytest.fixture
def org(db) -> Connection:
    return make_listener().connection


def test_one_holds_the_lock_at_a_time_and_each_gets_a_higher_fence(make: Make, org) -> None:
    first = make(org).lock("one", 60)

    assert first is not None
    assert make(org).lock("two", 60) is None
    make(org).unlock(first)
    second = make(org).lock("two", 60)
    assert second is not None
    assert second > first


def test_an_expired_lock_is_taken_and_its_holder_can_do_nothing_more(make: Make, org) -> None:
    old = make(org).lock("one", 0.05)
    assert old is not None
    time.sleep(0.2)

    new = make(org).lock("two", 60)

    assert new is not None
    assert not make(org).extend(old, 60)
    assert not make(org).save(old, KEPT)
    make(org).unlock(old)
    assert make(org).lock("three", 60) is None
    assert make(org).save(new, KEPT)
    assert make(org).load("seed") == KEPT


def test_an_extended_lock_is_kept(make: Make, org) -> None:
    fence = make(org).lock("one", 5)
    assert fence is not None

    assert make(org).extend(fence, 60)

    time.sleep(5.1)
    assert make(org).lock("two", 60) is None


class CountedDatabaseStore(DatabaseStore):
    """The store, with what was called, and whether its thread then had a database connection."""

    extended = 0

    def __init__(self, connection_id: int) -> None:
        super().__init__(connection_id)
        self.connected_when_closed: list[bool] = []

    def extend(self, fence: int, seconds: float) -> bool:
        self.extended += 1
        return super().extend(fence, seconds)

    def close(self) -> None:
        super().close()
        self.connected_when_closed.append(connection.connection is not None)


def test_a_thread_that_extends_a_lock_closes_its_database_connection(org) -> None:
    store = CountedDatabaseStore(org.pk)
    fence = store.lock("one", 60)
    assert fence is not None

    with extended_lock(store, fence, 60):
        pass
    assert (store.extended, store.connected_when_closed) == (0, [])
    with extended_lock(store, fence, 0.2):
        wait_for(lambda: store.extended)

    assert store.connected_when_closed == [False]


def test_tokens_belong_to_one_connection_and_one_seed(make: Make, org) -> None:
    store, other = make(org), make(make_listener().connection)
    fence = store.lock("one", 60)
    assert fence is not None

    assert store.save(fence, KEPT)

    assert other.load("seed") == store.load("another seed") == StoredTokens()
    assert other.lock("two", 60) is not None


def test_a_database_error_makes_the_store_unavailable(org) -> None:
    def fail(execute, sql, params, many, context):
        raise DatabaseError("the disk is full")

    with connection.execute_wrapper(fail):
        for use in (
            lambda: DatabaseStore(org.pk).load("seed"),
            lambda: DatabaseStore(org.pk).lock("one", 1),
        ):
            with pytest.raises(TokenStoreUnavailable, match="the disk is full"):
                use()
