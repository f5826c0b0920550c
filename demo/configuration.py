"""The demo's user, connection, listener and handler mappings."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth import get_user_model

from demo.scoreboard import HANDLER
from handlers.models import HandlerMapping
from listeners.models import Connection, Listener


def create_user(name: str) -> str:
    """Create a superuser, and return the password."""
    password = secrets.token_urlsafe(9)
    get_user_model().objects.create_superuser(name, password=password)
    return password


def create_listener(org: dict[str, Any]) -> None:
    """Create a connection, a listener, and a handler mapping for each kind of change."""
    connection = Connection(
        name="demo",
        auth=Connection.Auth.CLIENT_CREDENTIALS,
        base_url=org["url"],
        client_id=org["client_id"],
        client_secret=org["client_secret"],
    )
    connection.full_clean()
    connection.save()
    listener = Listener(connection=connection, replay_from="earliest")
    listener.full_clean()
    listener.save()
    for mapping in HandlerMapping.objects.create_defaults(listener):
        mapping.handler = HANDLER
        mapping.save()


def map_after_mirror() -> None:
    """Add a mapping whose handler runs once the record's mirror has applied the change.

    The mirror must exist.
    """
    mapping = HandlerMapping(
        listener=Listener.objects.get(),
        on=HandlerMapping.On.UPDATE,
        entity="Account",
        handler="demo.log_account",
        after=HandlerMapping.After.MIRROR,
    )
    mapping.full_clean()
    mapping.save()
