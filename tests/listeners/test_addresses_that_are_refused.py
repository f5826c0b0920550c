"""An address that the egress policy forbids is refused at the field where it is entered."""

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ValidationError

from handlers.cdc_handlers import check_post_options
from listeners.models import Connection, Listener
from listeners.salesforce.http.allowlist import parsed

INSIDE = "https://169.254.169.254"


def connection(**fields) -> Connection:
    return Connection(
        **{
            "name": "org",
            "auth": "password",
            "base_url": "https://org.example",
            "username": "ann",
            "password": "hush",
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("base_url", {"base_url": INSIDE}),
        ("base_url", {"base_url": "http://org.example"}),
        ("token_url", {"token_url": f"{INSIDE}/token"}),
        ("login_url", {"auth": "soap", "login_url": INSIDE}),
        (
            "refresh_url",
            {
                "auth": "refresh_token",
                "refresh_token": "r",
                "client_id": "c",
                "client_secret": "s",
                "refresh_url": f"{INSIDE}/token",
            },
        ),
        ("refresh_config", {"refresh_config": {"refresh_url": f"{INSIDE}/token"}}),
        ("proxy_host", {"proxy_host": "169.254.169.254", "proxy_port": 3128}),
        ("proxy_host", {"proxy_host": "[fe80::1]", "proxy_port": 3128}),
    ],
)
def test_a_connection_is_not_saved(db, field, fields):
    with pytest.raises(ValidationError) as refused:
        connection(**fields).full_clean()

    [(named, [message])] = refused.value.message_dict.items()
    assert named == field
    assert "CDC_OUTBOUND_ALLOWED" in message


def test_an_address_that_the_kind_of_login_ignores_may_stay(db):
    connection(login_url=INSIDE, refresh_url=INSIDE).full_clean()


def test_what_is_listed_is_taken(db, settings):
    settings.CDC_OUTBOUND = parsed(["crm.internal", "10.0.0.0/8"])

    connection(
        base_url="http://crm.internal:8080", proxy_host="10.0.0.9", proxy_port=3128
    ).full_clean()


@pytest.mark.parametrize("endpoint", ["169.254.169.254:7443", "http://pubsub.example:7443"])
def test_a_listeners_endpoint_is_held_to_the_same(listener, endpoint):
    listener.transport, listener.pubsub_endpoint = Listener.Transport.PUBSUB, endpoint

    with pytest.raises(ValidationError) as refused:
        listener.full_clean()

    assert "CDC_OUTBOUND_ALLOWED" in refused.value.message_dict["pubsub_endpoint"][0]


def test_a_handlers_address_is_held_to_the_same():
    with pytest.raises(ValueError, match=r"url: .* CDC_OUTBOUND_ALLOWED"):
        check_post_options({"url": "http://10.0.0.1/hook"})


def test_what_was_stored_before_is_named_by_the_checks(db):
    connection(name="old", base_url=INSIDE).save()

    [found] = [one for one in run_checks() if one.id == "listeners.W001"]

    assert "connection old: base_url: 169.254.169.254 is not a public address" in found.msg
    assert "CDC_OUTBOUND_ALLOWED" in found.hint
