import logging
from io import StringIO

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model

from tests.secrecy.places import Tap
from tests.secrecy.planted import Planted


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch):
    """Unset the proxy variables of this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def planted():
    """The secrets of this test: the installation's own, and those that the test adds."""
    planted = Planted()
    planted.add("SECRET_KEY", settings.SECRET_KEY)
    for number, key in enumerate(settings.CDC_ENCRYPTION_KEYS, 1):
        planted.add(f"CDC_ENCRYPTION_KEYS {number}", key)
    return planted


@pytest.fixture
def store(broker):
    """A client of the emptied Redis of broker and token store."""
    with redis.Redis(unix_socket_path=_broker_path()) as client:
        yield client


@pytest.fixture
def tap(store):
    """Records the commands that Redis receives within its block."""
    return Tap(store, _broker_path())


def _broker_path() -> str:
    return settings.CELERY_BROKER_URL.removeprefix("redis+socket://")


@pytest.fixture
def heard():
    """Returns this process's log of all levels, formatted as the product formats it."""
    lines = StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(logging.getLogger().handlers[0].formatter)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lambda: {"this process's log": lines.getvalue()}
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def admin(db, client):
    """A console client of a superuser."""
    user = get_user_model().objects.create_superuser("admin", password=None)
    client.force_login(user)
    client.raise_request_exception = False
    return client
