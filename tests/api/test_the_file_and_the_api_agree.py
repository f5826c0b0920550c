"""Every key of the configuration file is a field of the API, under the same name."""

import pytest
from rest_framework.test import APIClient

from consumer.configuration.schema import (
    CONNECTION,
    CONNECTION_KEY,
    HANDLER,
    HANDLERS,
    LISTENER,
    NESTED,
)


@pytest.fixture
def fields(db):
    shapes = APIClient().get("/api/schema/?format=json").json()["components"]["schemas"]

    def of(name: str) -> set[str]:
        return set(shapes[name]["properties"])

    return of


def test_of_a_connection(fields):
    nested = NESTED["proxy_config"]
    parts = {nested.prefix + part for part in nested.parts}

    assert fields("ConnectionRequest") == CONNECTION.keys() - parts | {"proxy_config"}
    assert fields("ProxyRequest") == set(nested.parts)


def test_of_a_listener(fields):
    assert fields("ListenerRequest") == {*LISTENER, CONNECTION_KEY, HANDLERS}


def test_of_a_handler(fields):
    assert fields("HandlerRequest") == set(HANDLER)
    assert fields("HandlerMappingRequest") == {*HANDLER, "listener"}
