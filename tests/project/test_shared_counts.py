"""The cache that web processes share: in Redis, in the database, or alone while Redis is away."""

import pytest
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.db import DatabaseCache

from cdcproject.celery import app
from cdcproject.shared_cache import SharedCache
from cdcproject.shared_cache import caches as configured

AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def shared(settings, broker):
    return SharedCache(settings.REDIS_URL, {"KEY_PREFIX": "cdc-cache"})


def test_emptying_it_leaves_the_brokers_queues_alone(shared):
    shared.set("a", 1, 60)
    with app.connection_for_write() as connection:
        client = connection.default_channel.client
        client.lpush("celery", "a message")

        shared.clear()

        assert client.lrange("celery", 0, -1) == [b"a message"]
    assert shared.get("a") is None


def test_it_counts_and_forgets(shared):
    assert shared.add("a", 0, 60)
    assert not shared.add("a", 5, 60)
    assert shared.incr("a") == 1
    assert shared.has_key("a")
    assert shared.touch("a", 30)
    assert shared.delete("a")
    with pytest.raises(ValueError, match="not found"):
        shared.incr("a")


def test_while_redis_is_away_each_process_counts_for_itself():
    alone = SharedCache(AWAY, {"KEY_PREFIX": "cdc-cache"})

    assert alone.add("a", 0, 60)
    assert alone.incr("a") == 1
    assert alone.get("a") == 1
    alone.clear()
    assert alone.get("a") is None


def test_without_a_redis_the_database_counts(db):
    [settings] = configured("").values()
    stored = DatabaseCache(settings["LOCATION"], settings)

    assert stored.add("a", 0, 60)
    assert stored.incr("a") == 1
    assert stored.get("a") == 1


def test_there_is_one_cache():
    with pytest.raises(InvalidCacheBackendError):
        caches["other"]
