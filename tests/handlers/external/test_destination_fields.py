"""Settings of a destination that cannot work are refused at their field, without the secret."""

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError

from handlers.checks import check_destinations
from handlers.models import Destination, HandlerMapping
from listeners.key_rotation import rotate
from listeners.salesforce.http.allowlist import parsed
from tests.sample_data import make_mapping

pytestmark = pytest.mark.anywhere
SECRET = "s3cret-word"


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"broker": ""}, "broker", "Enter the broker's URL"),
        ({"broker": "env:"}, "broker", "Add the name"),
        ({"broker": f"http://u:{SECRET}@h"}, "broker", "must start with redis://"),
        ({"broker": f"redis://:{SECRET}@10.1.2.3"}, "broker", "CDC_OUTBOUND_ALLOWED"),
        ({"broker": f"amqp://u:{SECRET}@shop.example"}, "broker", "requires TLS"),
        ({"broker": f"redis://:{SECRET}/@localhost"}, "broker", "special characters"),
        ({"result_backend": f"amqps://u:{SECRET}@h"}, "result_backend", "start with redis://"),
        ({"result_backend": "redis://localhost;redis://h"}, "result_backend", "a single server"),
        ({"ca_certificate": "/etc/ca.pem"}, "ca_certificate", "leave it empty"),
        ({"name": "a shop"}, "name", "letters"),
    ],
)
def test_what_cannot_work_is_refused_at_its_field(db, settings, fields, field, text):
    settings.CDC_OUTBOUND = parsed(["loopback"])
    shop = Destination(**{"name": "shop", "broker": "redis://localhost", **fields})

    with pytest.raises(ValidationError) as refused:
        shop.full_clean()

    [message] = refused.value.message_dict[field]
    assert text in message
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("variable", ["SECRET_KEY", "CELERY_BROKER_URL"])
def test_a_reference_to_our_own_secrets_is_refused(db, variable):
    with pytest.raises(ValidationError, match="not allowed"):
        Destination(name="shop", broker=f"env:{variable}").full_clean()


@pytest.mark.parametrize(
    ("broker", "address"),
    [
        (f"redis://u:{SECRET}@localhost:6379/1", "redis://localhost:6379/1"),
        (
            f"amqps://u:{SECRET}@a.example;amqps://b.example/v",
            "amqps://a.example;amqps://b.example/v",
        ),
        ("env:SHOP", "env:SHOP"),
    ],
)
def test_the_address_has_no_login(broker, address):
    shop = Destination(name="shop", broker=broker)

    shop.clean()

    assert shop.address == address


def test_it_is_deleted_once_nothing_is_sent_to_it(shop, listener):
    mapping = make_mapping(listener, handler="", task="shop.sync", destination=shop)
    with pytest.raises(ProtectedError):
        shop.delete()
    mapping.delete()
    with pytest.raises(ProtectedError):
        shop.delete()
    [user] = shop.users()
    assert user.startswith(f"{listener}, a deleted mapping, whose deliveries still wait")

    HandlerMapping.with_deleted.update(emptied_at=listener.created_at)
    shop.delete()

    assert not Destination.objects.exists()


def test_a_rotation_of_keys_covers_its_urls(shop, settings):
    settings.REDIS_URL = ""
    settings.CDC_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.CDC_ENCRYPTION_KEYS]
    url = shop.broker.reveal()

    rotate(dry_run=False)

    shop.refresh_from_db()
    assert shop.broker.has_first_key
    assert shop.broker.reveal() == url


def test_the_check_names_stored_ones_that_cannot_work(shop, settings):
    settings.CDC_OUTBOUND = parsed([])
    Destination.objects.update(ca_certificate="/nowhere/ca.pem")

    texts = {message.msg for message in check_destinations()}

    assert len(texts) == 3
    assert any("127.0.0.1 is not a public address" in text for text in texts)
    assert "destination shop: ca_certificate: /nowhere/ca.pem cannot be read." in texts
