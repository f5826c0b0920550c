"""Connections of every kind of login, with a planted secret in every field that can hold one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from listeners.models import Connection, KeptTokens, Listener
from listeners.models.connection_rules import KINDS
from listeners.salesforce.tokens.store import StoredTokens
from listeners.secrets.encrypted_field import Secret
from tests.kinds_of_login import kinds_of
from tests.sample_data import make_listener, make_mapping
from tests.secrecy.places import as_text
from tests.secrecy.planted import Planted
from tests.settings_on_the_wire.orgs import issue_token
from tests.simulator.process import SimulatorProcess

#: The environment of a process that resolves references.
Environment = dict[str, str]
Fields = dict[str, Any]
#: The secret fields of a token request. (A password is not in the org's log.)
_SENT = ("client_secret", "password", "refresh_token", "device_key", "api_key")


def org_with_secrets(planted: Planted, *options: str) -> SimulatorProcess:
    """Return an org, not started yet, with planted credentials."""
    return SimulatorProcess(
        "--client-secret", planted.special("client_secret"),
        "--password", planted.special("password"),
        "--refresh-token", planted.plain("refresh_token"),
        "--connect-timeout", "2", "--password-refresh-tokens", *options,
    )  # fmt: skip


def of_every_kind(
    org: SimulatorProcess, planted: Planted, folder: Path, proxy: Fields
) -> tuple[list[Listener], Environment]:
    """Make a listener for each kind of login; some secrets are stored, others are references.

    `proxy` holds the fields of a connection that uses a proxy.
    """
    planted.add_key("private_key", org.credentials["private_key"])
    token = planted.add_token("token", issue_token(org))
    key_file = folder / "private key.pem"
    key_file.write_text(org.credentials["private_key"])
    payload = folder / "payload"
    payload.write_text(planted.special("custom_payload") + "\n")
    environment = {
        "CDC_TEST_CLIENT_SECRET": org.credentials["client_secret"],
        "CDC_TEST_TOKEN": token,
        "CDC_TEST_HEADER": planted.plain("custom header"),
        "CDC_TEST_PARAMETER": planted.special("optional parameter"),
        "CDC_TEST_PROXY": proxy["proxy_password"],
    }
    client = {
        "custom_headers": {"X-Api-Key": "env:CDC_TEST_HEADER"},
        "custom_payload": f"api_key=file%3A{payload}",
    }
    several = {"optional_params": {"device_key": "env:CDC_TEST_PARAMETER"}, "client_config": client}
    of_kind: dict[str, Fields] = {
        "soap": {"client_config": {"custom_headers": client["custom_headers"]}},
        "bearer_token": {},
        "bearer_token by reference": {"token": "env:CDC_TEST_TOKEN"},
        "password": several,
        "refresh_token": {**several, "token_store": "redis"},
        "client_credentials": {**several, "credential_bearer": "auth_header"},
        "client_credentials by reference": {
            "client_secret": "env:CDC_TEST_CLIENT_SECRET",
            "token_store": "memory",
            **proxy,
            "proxy_password": "env:CDC_TEST_PROXY",
        },
        "jwt_bearer": {**several, **proxy},
        "jwt_bearer by reference": {"private_key": f"file:{key_file}", "client_secret": ""},
    }
    assert kinds_of(of_kind) == set(Connection.Auth.values), "add the new kind above"
    listeners = [
        listener_of(kind, org, {"token": token, **fields}) for kind, fields in of_kind.items()
    ]
    return listeners, environment


def listener_of(kind: str, org: SimulatorProcess, fields: Fields) -> Listener:
    """Make a listener; `kind` is a kind of login, with further words for the name."""
    auth = kind.partition(" ")[0]
    used_fields = KINDS[auth].used_fields
    given = {**org.credentials, "base_url": org.url, "login_url": org.url, **fields}
    known = {field.name for field in Connection._meta.fields}
    own = {
        name: value
        for name, value in given.items()
        if name in known and (name in used_fields or (name in fields and name != "token"))
    }
    name = kind.replace(" ", "-")
    connection = Connection(name=name, auth=auth, **own)
    connection.full_clean()
    connection.save()
    return make_listener(connection=connection, name=f"listener-{name}")


def map_to(listener: Listener, *handlers: str, **options: Any) -> None:
    for handler in handlers:
        make_mapping(listener, "create", handler, options=options)


def plant_what_was_sent(org: SimulatorProcess, planted: Planted) -> None:
    """Plant the secrets that the org received: its tokens, assertions and refresh tokens."""
    for request in org.token_requests():
        form = request["form"]
        for name in _SENT:
            planted.add(f"sent {name}", form.get(name, ""))
        # Its header and its claims are public.
        planted.add("sent assertion", form.get("assertion", "").rpartition(".")[2])
    for request in org.api_requests():
        planted.add_token("access token", request["authorization"].removeprefix("Bearer "))


def plant_what_is_kept(planted: Planted, store: redis.Redis) -> int:
    """Plant the tokens stored in the database and in Redis, and return the number of sets."""
    secrets = [row.kept for row in KeptTokens.objects.all()]
    for key in store.scan_iter("salesforce-cdc:*:kept"):
        secrets += [Secret(as_text(text)) for text in store.hvals(key)]
    for kept in [StoredTokens.from_json(secret.reveal()) for secret in secrets]:
        if kept.token:
            planted.add_token("kept access token", kept.token.access_token)
        planted.add("kept refresh token", kept.refresh_token)
    return len(secrets)
