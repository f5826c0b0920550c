"""Addresses with a password in them are refused, and composed ones show none."""

import traceback

import pytest
import requests
from django.core.exceptions import ValidationError

from listeners.connections.token_sources import session_for
from listeners.models import Connection, Position
from listeners.models.connection_rules import problems
from listeners.salesforce.errors import DestinationRefused
from tests.commands.running import record
from tests.sample_data import change, lease_of, make_listener, make_mapping
from tests.secrecy.scene import Scene
from tests.servers import free_port, wait_for

pytestmark = pytest.mark.anywhere


def connection(**fields) -> Connection:
    return Connection(
        **{
            "name": "prod",
            "auth": "bearer_token",
            "base_url": "https://example.my.salesforce.com",
            "token": "some-token",
            **fields,
        }
    )


@pytest.mark.parametrize("host", ["::1", "fe80::1:2", "a:b:c", "..", "proxy\N{SUPERSCRIPT TWO}"])
def test_a_proxy_that_no_address_can_name_gives_no_password_away(planted, host):
    """The error that a handler gets when it calls Salesforce through it shows none either."""
    row = connection(
        proxy_host=host,
        proxy_port=3128,
        proxy_username="me",
        proxy_password=planted.special("proxy_password"),
    )

    failures = (requests.RequestException, ValueError, DestinationRefused)
    with session_for(row) as http, pytest.raises(failures) as failed:
        http.get("http://127.0.0.1:1/", timeout=2)

    said = "".join(traceback.format_exception(failed.value))
    assert planted.leaks({"message": said, "rules": str(problems(row))}) == []


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["base_url", "login_url", "token_url", "refresh_url"])
def test_an_address_with_a_password_in_it_is_refused(planted, field):
    """It would be shown wherever the address is shown."""
    auth = {"login_url": "soap", "token_url": "password", "refresh_url": "refresh_token"}
    address = f"https://me:{planted.plain('password')}@example.my.salesforce.com"
    row = connection(
        auth=auth.get(field, "bearer_token"),
        username="me",
        password="some password",
        refresh_token="some refresh token",
        client_id="the-client",
        client_secret="some secret",
    )
    setattr(row, field, address)

    with pytest.raises(ValidationError) as refused:
        row.full_clean()

    assert field in refused.value.message_dict
    assert planted.leaks({"refusal": str(refused.value)}) == []


@pytest.mark.django_db
def test_a_refresh_url_of_refresh_config_with_a_password_in_it_is_refused(planted):
    address = f"https://me:{planted.plain('password')}@example.my.salesforce.com"
    row = connection(
        auth="password",
        username="me",
        password="some password",
        refresh_config={"refresh_url": address},
    )

    with pytest.raises(ValidationError) as refused:
        row.full_clean()

    assert planted.leaks({"refusal": str(refused.value)}) == []


@pytest.mark.parametrize(
    "address",
    [
        "postgres://cdc:{}@127.0.0.1:{port}/cdc",
        "postgres://cdc:{}@127.0.0.1:port/cdc",
        "postgres://cdc:{}@[::1/cdc",
        "postgres://cdc:{}/more@127.0.0.1:5432/cdc",
        "mysql://cdc:{}@127.0.0.1/cdc",
        "postgres://127.0.0.1:{port}/cdc?user=cdc&password={}&sslmode=nonsense",
    ],
)
def test_a_database_that_does_not_answer_gives_no_password_away(
    processes, planted, tmp_path, address
):
    url = address.format(planted.plain("password"), port=free_port())
    scene = Scene(
        processes, planted, tmp_path, DATABASE_URL=url, DEBUG="true", LOG_FORMAT="json",
        DJANGO_SETTINGS_MODULE="cdcproject.settings",
    )  # fmt: skip

    said = scene.commands(["cdc_status"], ["check_cdc_connection", "prod"], ["migrate"])

    assert "configuration error" in said or "OperationalError" in said
    assert scene.leaks() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CDC_ENCRYPTION_KEYS", "{}"),
        ("REDIS_URL", "nonsense://:{}@host"),
        ("CELERY_BROKER_URL", "redis://:{}@127.0.0.1:1/0"),
        # A / in a password that is not written as %2F.
        ("CELERY_BROKER_URL", "redis://:{}/more@127.0.0.1:6379/0"),
        ("REDIS_URL", "redis://:{}/more@127.0.0.1:6379/0"),
    ],
)
def test_a_wrong_setting_is_not_repeated(processes, planted, tmp_path, name, value):
    wrong = {name: value.format(planted.plain("secret"))}
    scene = Scene(
        processes, planted, tmp_path,
        DJANGO_SETTINGS_MODULE="cdcproject.settings", LOG_FORMAT="console", **wrong,
    )  # fmt: skip
    listener = make_listener()
    make_mapping(listener, handler="tests.remember")
    record(listener, change())
    Position.objects.release(lease_of(listener))

    process = scene.start("listener", "manage.py", "run_cdc_listener")
    troubles = ("published later", "background work failed", "thread crashed")
    wait_for(
        lambda: not process.is_running or any(word in process.output for word in troubles),
        what="trouble",
    )

    assert scene.leaks() == []
