"""Connections that cannot log in for various reasons, full of planted secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from listeners.models import Connection, Listener
from tests.kinds_of_login import kinds_of
from tests.sample_data import make_listener
from tests.secrecy.planted import Planted
from tests.servers import free_port
from tests.simulator.process import SimulatorProcess

Fields = dict[str, Any]
_KEY = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)


def every_secret(planted: Planted, name: str) -> Fields:
    """Return all secret fields of a connection, also those that its kind of login ignores."""
    return {
        "client_secret": planted.special(f"client_secret of {name} "),
        "password": planted.special(f"password of {name} "),
        "token": planted.plain(f"token of {name} ").replace(" ", "-"),
        "refresh_token": planted.plain(f"refresh_token of {name} "),
        "private_key": planted.add_key("private_key", _KEY),
        "proxy_password": planted.special(f"proxy_password of {name} "),
    }


def wrong_credentials(org: SimulatorProcess) -> dict[str, Fields]:
    """Return credentials of each kind of login that Salesforce refuses."""
    right = {name: org.credentials[name] for name in ("client_secret", "username", "client_id")}
    kinds: dict[str, Fields] = {
        "soap": {},
        "bearer_token": {},
        "password": right,
        "password without app": {"client_id": ""},
        "refresh_token": right,
        "refresh_token in Redis": {"token_store": "redis"},
        "client_credentials": {"client_id": right["client_id"]},
        "client_credentials in header": {"credential_bearer": "auth_header"},
        "jwt_bearer": right,
    }
    assert kinds_of(kinds) == set(Connection.Auth.values), "add the new kind above"
    return kinds


def unreachable(org: SimulatorProcess) -> dict[str, Fields]:
    dead = {"proxy_host": "127.0.0.1", "proxy_port": free_port(), "proxy_username": "me&you"}
    nobody = f"http://127.0.0.1:{free_port()}"
    return {
        "soap to nobody": {"login_url": nobody},
        "password to no host": {"base_url": "http://nowhere.invalid"},
        "client_credentials to nobody": {"base_url": nobody},
        "client_credentials without TLS": {"base_url": org.url.replace("http:", "https:")},
        "jwt_bearer without TLS": {
            "base_url": org.url.replace("http:", "https:"),
            "client_config": {"http_version": "2"},
        },
        "jwt_bearer through a dead proxy": dead,
        "bearer_token through a dead proxy": dead,
        "password through a dead proxy": {**dead, "proxy_scheme": "https"},
        "client_credentials through no proxy": {**dead, "proxy_host": "proxy.invalid"},
        "soap through a proxy's odd password": {**dead, "proxy_password": "€" * 3},
    }


def refused_by_the_proxy(host: str, port: int) -> dict[str, Fields]:
    proxy = {"proxy_host": host, "proxy_port": port, "proxy_username": "me"}
    return {
        "soap refused by the proxy": proxy,
        "jwt_bearer refused by the proxy": proxy,
        "bearer_token refused by the proxy": {**proxy, "base_url": "https://127.0.0.1:1"},
        "client_credentials refused by the proxy": {**proxy, "base_url": "https://127.0.0.1:1"},
        "password over TLS to a plain proxy": {**proxy, "proxy_scheme": "https"},
    }


def wrong_references(planted: Planted, folder: Path) -> tuple[dict[str, Fields], dict[str, str]]:
    """Return secret references that lead nowhere or to unusable values, with their environment."""
    odd = folder / "odd"
    odd.write_bytes(planted.plain("file that is no text").encode() + b"\xff\xfe")
    broken = folder / "broken.pem"
    lines = [planted.plain("line of a broken key") for _ in range(3)]
    broken.write_text(
        "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----"])
    )
    environment = {
        "CDC_TEST_LINES": f"{planted.plain('first line')}\r\n{planted.plain('second line')}",
        "CDC_TEST_BLANK": f"{planted.plain('before a blank')} {planted.plain('after a blank')}",
        "CDC_TEST_ODD": planted.special("odd") + "€",
    }

    def header(reference: str) -> Fields:
        return {"client_config": {"custom_headers": {"X-Api-Key": reference}}}

    return {
        "soap from no variable": {"password": "env:CDC_TEST_NOT_SET"},
        "soap with lines in a header": header("env:CDC_TEST_LINES"),
        "password from no file": {"password": f"file:{folder}/none"},
        "password from an odd file": {"password": f"file:{odd}"},
        "bearer_token with a blank": {"token": "env:CDC_TEST_BLANK"},
        "bearer_token with lines": {"token": "env:CDC_TEST_LINES"},
        "refresh_token odd": {"refresh_token": "env:CDC_TEST_ODD"},
        "client_credentials with lines in a header": header("env:CDC_TEST_LINES"),
        "client_credentials with an odd header": header("env:CDC_TEST_ODD"),
        "client_credentials odd in Basic": {
            "client_secret": "env:CDC_TEST_ODD", "credential_bearer": "auth_header",
        },
        "client_credentials with no parameter": {"optional_params": {"key": "file:/none"}},
        "jwt_bearer with a broken key": {"private_key": f"file:{broken}"},
        "jwt_bearer with no key": {"private_key": "env:CDC_TEST_ODD"},
    }, environment  # fmt: skip


def spoil(planted: Planted) -> None:
    """Store connections whose secrets have a lost key or are no ciphertext at all."""
    other = Fernet(planted.add("key that is gone", Fernet.generate_key().decode()))
    gone = other.encrypt(planted.special("encrypted with it").encode()).decode()
    for name, stored in (("spoiled", gone), ("garbled", gone[:-9] + "x")):
        row = Connection.objects.create(
            name=name, auth="client_credentials", base_url="http://localhost:1", client_id="app"
        )
        from listeners.secrets.encrypted_field import Secret

        Connection.objects.filter(pk=row.pk).update(client_secret=Secret(stored))
        make_listener(connection=Connection.objects.get(pk=row.pk), name=f"of-{name}")


def store(org: SimulatorProcess, planted: Planted, kinds: dict[str, Fields]) -> list[Listener]:
    """Store a connection and a listener for each; the first word of a name is the kind of login."""
    listeners = []
    for text, fields in kinds.items():
        name = text.replace(" ", "-").replace("'", "")
        connection = Connection(
            **{
                "name": name,
                "auth": text.partition(" ")[0],
                "base_url": org.url,
                "login_url": org.url,
                "username": "somebody@example.com",
                "client_id": "some-app",
                **every_secret(planted, name),
                **fields,
            }
        )
        connection.save()
        listeners.append(make_listener(connection=connection, name=f"of-{name}"))
    return listeners
