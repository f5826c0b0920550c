"""Foreign or malformed values in Redis make no request of the console or the API fail."""

import json
import pickle
import time
from contextlib import suppress

import pytest
import redis
from django.core.cache import cache, caches
from rest_framework.test import APIClient
from structlog.testing import capture_logs

from cdcproject.web.login_throttle import _key
from cdcproject.web.throttle_cache import LARGEST, SharedCache
from consumer.diagnostics.offered_channels import channels_of
from listeners.models import Connection
from tests.api.requests import LISTENERS
from tests.cdcproject.test_signing_in import PASSWORD, is_in, is_stopped, log_in

GARBAGE = {
    "a list of Redis": lambda client, key: client.rpush(key, "x"),
    "a hash of Redis": lambda client, key: client.hset(key, "a", "b"),
    "a pickle": lambda client, key: client.set(key, pickle.dumps({"a": 1})),
    "no UTF-8": lambda client, key: client.set(key, b"\xff\xfe"),
    "a text": lambda client, key: client.set(key, '"text"'),
    "an object": lambda client, key: client.set(key, '{"a": [1]}'),
    "a number": lambda client, key: client.set(key, "7"),
    "no number": lambda client, key: client.set(key, "[NaN]"),
    "a list of texts": lambda client, key: client.set(key, '["x", null]'),
    "times to come": lambda client, key: client.set(key, json.dumps([time.time() + 1e9] * 100)),
    "a number without end": lambda client, key: client.set(key, "9" * 5_000),
    "the largest number": lambda client, key: client.set(key, str(2**63 - 1)),
    "lists within lists": lambda client, key: client.set(key, "[" * 100_000),
    "a huge list": lambda client, key: client.set(key, f"[{'0,' * LARGEST}0]"),
    "nothing": lambda client, key: client.set(key, ""),
}


@pytest.fixture(params=GARBAGE)
def put(request, settings, broker):
    """Puts garbage at a key of the cache."""
    settings.CDC_SIGN_IN_RATE = "3/hour"
    shared = caches["default"]
    assert isinstance(shared, SharedCache)
    cache.clear()
    with redis.Redis.from_url(settings.REDIS_URL) as client:

        def planted(key: str) -> None:
            name = shared.make_and_validate_key(key)
            client.delete(name)
            GARBAGE[request.param](client, name)

        yield planted
    cache.clear()


@pytest.fixture
def ann(django_user_model, db):
    return django_user_model.objects.create_superuser("ann", password=PASSWORD)


def test_garbage_is_a_value_that_is_not_there(put):
    put("a")

    answer = cache.get("a", "not there")

    assert answer == "not there" or json.dumps(answer), "or it is what JSON holds"
    put("a")
    cache.set("a", [1.5], 60)
    assert cache.get("a") == [1.5]


def test_the_login_goes_on_counting(put, ann):
    of_user, of_address = _key("user", "ann", "192.0.2.1"), _key("address", "192.0.2.1")
    put(of_user)
    put(of_address)

    answers = [log_in("wrong") for _ in range(6)]

    assert {answer.status_code for answer in answers} == {200}
    assert is_stopped(answers[-1])


def test_the_api_goes_on_counting(put, client, ann):
    api = APIClient()
    api.force_authenticate(ann)
    put(f"throttle_user_{ann.pk}")
    put("throttle_anon_127.0.0.1")

    assert api.get(LISTENERS).status_code == 200
    assert APIClient().get(LISTENERS).status_code == 401
    assert APIClient().get("/api/docs/").status_code == 200
    assert len(cache.get(f"throttle_user_{ann.pk}")) == 1


def test_the_channels_of_an_org_are_asked_for_again(put, db):
    connection = Connection.objects.create(
        name="prod", auth="bearer_token", base_url="https://127.0.0.1:1"
    )
    put(f"channels-{connection.fingerprint}")

    found = channels_of(connection)

    assert found["groups"] == []
    assert found["problem"]
    assert channels_of(connection) == found


def test_it_is_logged_once_for_all(put, monkeypatch):
    monkeypatch.setattr(SharedCache, "_has_warned", False)
    patient = {"socket_timeout": 60, "socket_connect_timeout": 60}
    fields = {"KEY_PREFIX": "cdc-cache", "OPTIONS": patient}
    shared = SharedCache(caches["default"]._servers, fields)
    with capture_logs() as lines:
        for _ in range(3):
            put("a")
            shared.get("a")
            shared.add("a", 0, 60)
            with suppress(ValueError):
                shared.incr("a")

    events = [line["event"] for line in lines]
    assert events in ([], ["unreadable cache value deleted"]), "a number is readable"


def test_a_login_succeeds_despite_garbage_in_its_count(put, ann):
    put(_key("user", "ann", "192.0.2.1"))

    assert is_in(log_in(PASSWORD)) or cache.get(_key("user", "ann", "192.0.2.1")) == 8
