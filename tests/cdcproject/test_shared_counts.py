"""Web processes share a cache in Redis or in the database; while Redis is away each has its own."""

import pickle

import pytest
import redis
from django.core.cache import InvalidCacheBackendError, caches
from django.db import connection
from structlog.testing import capture_logs

from cdcproject.celery import app
from cdcproject.conf.servers import caches as caches_of
from cdcproject.conf.servers import redis_address
from cdcproject.web.throttle_cache import SharedCache, TableCache

#: A loaded server answers late.
PATIENT = {"OPTIONS": {"socket_timeout": 60, "socket_connect_timeout": 60}}
AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def shared(settings, broker):
    return SharedCache(settings.REDIS_URL, {"KEY_PREFIX": "cdc-cache", **PATIENT})


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


def test_values_come_back_as_they_were(shared):
    for value in (0, 7, [1.5, 2.25], {"a": None}, "text", True):
        shared.set("a", value, 60)
        assert shared.get("a") == value
        assert type(shared.get("a")) is type(value)


class Intruder:
    ran = False

    def __reduce__(self):
        return (setattr, (Intruder, "ran", True))


def test_a_pickle_in_redis_is_not_executed(shared, settings):
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set(shared.make_and_validate_key("a"), pickle.dumps(Intruder()))

    assert shared.get("a") is None
    assert not Intruder.ran


def test_while_redis_is_away_each_process_counts_for_itself_and_says_so():
    alone = SharedCache(AWAY, {"KEY_PREFIX": "cdc-cache"})

    with capture_logs() as lines:
        assert alone.add("a", 0, 60)
    assert [line["event"] for line in lines] == [
        "shared cache unavailable, processes count separately"
    ]
    assert alone.incr("a") == 1
    assert alone.get("a") == 1
    alone.clear()
    assert alone.get("a") is None


def test_without_a_redis_the_database_counts(db):
    stored = TableCache("cdc_cache", {})

    assert caches_of("")["default"]["BACKEND"] == "cdcproject.web.throttle_cache.TableCache"
    assert stored.add("a", 0, 1000)
    before = ends()
    assert [stored.incr("a"), stored.incr("a")] == [1, 2]
    assert stored.get("a") == 2
    assert ends() == before
    with pytest.raises(ValueError, match="not found"):
        stored.incr("b")


def full(counts, *, of: int):
    for number in range(of):
        counts.add(f"wrong-name-{number}", 0, 1000)


def test_a_count_is_not_pushed_out_by_others_in_the_database(db):
    stored = TableCache("cdc_cache", {})
    stored.add("of-a-password", 5, 1000)
    stored.add("of-long-ago", 5, -1)

    full(stored, of=320)

    assert stored.incr("of-a-password") == 6
    assert len(ends()) == 321


def test_a_count_is_not_pushed_out_by_others_while_redis_is_away():
    alone = SharedCache(AWAY, {"KEY_PREFIX": "cdc-cache"})
    alone.add("of-a-password", 5, 1000)

    full(alone, of=320)

    assert alone.incr("of-a-password") == 6


@pytest.mark.parametrize(
    "broker_url",
    [
        "redis://:hun,ter%3B2@127.0.0.1:1/3?visibility_timeout=3600",
        "rediss://:hun,ter%3B2@127.0.0.1:1/3?ssl_cert_reqs=CERT_NONE",
        "redis+socket:///nowhere/broker.sock?virtual_host=3",
    ],
)
def test_the_redis_of_the_broker_is_found_in_every_form_of_its_url(broker_url):
    address = redis_address("", broker_url)
    chosen = caches_of(address)["default"]
    counts = SharedCache(chosen["LOCATION"], {"KEY_PREFIX": "cdc-cache"})

    client = counts._cache.get_client(write=True)
    asked = client.connection_pool.make_connection()

    assert asked.db == 3
    assert asked.password == (None if "sock" in broker_url else "hun,ter;2")
    counts.set("a", 1, 60)
    assert counts.incr("a") == 2


def ends():
    """Return when the database's counts expire."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT expires FROM cdc_cache")
        return cursor.fetchall()


def test_there_is_one_cache():
    with pytest.raises(InvalidCacheBackendError):
        caches["other"]
