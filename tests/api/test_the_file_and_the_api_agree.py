"""Every key of the configuration file is a field of the API, under the same name."""

import pytest
from rest_framework.test import APIClient

from consumer.configuration.schema import (
    CONNECTION,
    CONNECTION_KEY,
    DESTINATION,
    DESTINATION_KEY,
    HANDLER,
    HANDLERS,
    LISTENER,
    NESTED,
    PARTS,
    PREFIX,
)


@pytest.fixture
def fields(db):
    shapes = APIClient().get("/api/schema/?format=json").json()["components"]["schemas"]

    def of(name: str) -> set[str]:
        return set(shapes[name]["properties"])

    return of


def test_keys_of_a_connection_are_fields(fields):
    parts = {PREFIX + part for part in PARTS}

    assert fields("ConnectionRequest") == CONNECTION.keys() - parts | {NESTED}
    assert fields("ProxyRequest") == set(PARTS)


def test_keys_of_a_listener_are_fields(fields):
    assert fields("ListenerRequest") == {*LISTENER, CONNECTION_KEY, HANDLERS}


def test_keys_of_a_handler_are_fields(fields):
    assert fields("HandlerRequest") == {*HANDLER, DESTINATION_KEY}
    assert fields("HandlerMappingRequest") == {*HANDLER, DESTINATION_KEY, "listener"}


def test_keys_of_a_destination_are_fields(fields):
    assert fields("DestinationRequest") == set(DESTINATION)
