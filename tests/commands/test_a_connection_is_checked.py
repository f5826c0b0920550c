import pytest
from django.core.management import CommandError

from consumer.diagnostics.connection_check import check_connection
from consumer.diagnostics.findings import Finding
from tests.commands.running import run
from tests.sample_data import connection_to, make_listener
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "2") as simulator:
        yield simulator


@pytest.fixture
def connection(org):
    return connection_to(org.url, org.credentials, name="prod")


def failure(name: str) -> str:
    with pytest.raises(CommandError) as failed:
        run("check_cdc_connection", name)
    assert failed.value.returncode == 1
    return str(failed.value)


@pytest.mark.parametrize("auth", ["client_credentials", "password", "refresh_token"])
def test_each_successful_step_is_a_line(org, auth):
    connection = connection_to(org.url, org.credentials, auth=auth)
    make_listener(connection=connection, name="everything")

    output = run("check_cdc_connection", connection.name)

    text = output.out
    assert f"login: accepted ({connection.get_auth_display()})" in text
    assert f"instance: {org.url}" in text
    assert "org: 00D" in text
    assert "API versions: " in text
    assert "DailyDeliveredPlatformEvents: " in text
    assert "listener everything: channel /data/ChangeEvents: permitted" in text
    for secret in ("client_secret", "password", "refresh_token"):
        assert org.credentials[secret] not in text


def test_a_connection_without_listeners_is_checked_as_far_as_it_goes(connection):
    output = run("check_cdc_connection", "prod")

    assert output.lines[-1] == "No listener uses this connection yet, so no channel was checked."


def test_a_listener_stands_for_its_connection(connection):
    make_listener(connection=connection, name="one")
    make_listener(connection=connection, name="two", enabled=False)

    output = run("check_cdc_connection", "two")

    assert "listener two (disabled): channel /data/ChangeEvents: permitted" in output.out
    assert "listener one" not in output.out


def test_each_listener_is_tried_even_after_a_failure(connection):
    make_listener(connection=connection, name="a", channel="/data/Unknown__chn")
    make_listener(connection=connection, name="b")

    *_, first, second = check_connection(connection, list(connection.listeners.all()))

    assert first.is_failure
    assert first.text.startswith("listener a: channel /data/Unknown__chn: /meta/subscribe refused")
    assert "Setup under Change Data Capture" in first.text
    assert second == Finding("listener b: channel /data/ChangeEvents: permitted")


def test_a_version_that_is_not_served_is_named(connection):
    make_listener(connection=connection, name="old", api_version="99.0")

    assert "listener old: the org does not serve API version 99.0; set api_version" in failure(
        "prod"
    )


def test_channels_are_tried_without_rest(org, connection):
    org.fault("http_status", target="rest", status=404, times=2)
    make_listener(connection=connection, name="only")

    text = run("check_cdc_connection", "prod").out

    assert "API versions: not readable (REST request refused: HTTP 404" in text
    assert "listener only: channel /data/ChangeEvents: permitted" in text


def test_a_wrong_secret_is_tried_once(org, connection):
    connection.client_secret = "wrong and still not shown"
    connection.save()
    before = len(org.state()["token_requests"])

    reason = failure("prod")

    assert reason.startswith("login refused: invalid_client")
    assert "still not shown" not in reason
    assert len(org.state()["token_requests"]) == before + 1


def test_a_missing_reference_is_named(connection):
    connection.client_secret = "env:NOT_SET_HERE"
    connection.save()

    assert failure("prod") == ("login: not tried, the environment variable NOT_SET_HERE is not set")


def test_a_host_that_does_not_answer_is_a_reason():
    listener = make_listener(name="nowhere")  # no server listens on port 1

    assert failure(listener.connection.name).startswith("login not possible now: ")


def test_an_unknown_name_is_bad_usage(connection):
    with pytest.raises(CommandError, match=r"no connection 'prot'\. Known: prod") as refused:
        run("check_cdc_connection", "prot")

    assert refused.value.returncode == 2


def test_a_redis_that_does_not_write_to_disk_is_noted(connection, broker):
    connection.token_store = "redis"
    connection.save()

    assert "note: Redis does not write to disk" in run("check_cdc_connection", "prod").out


def test_a_redis_that_is_away_is_a_reason(connection, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    connection.token_store = "redis"
    connection.save()

    assert "the token store does not answer: Redis, ConnectionError" in failure("prod")


def test_a_check_logs_in_though_there_is_a_token(org, connection):
    run("check_cdc_connection", "prod")
    before = len(org.state()["token_requests"])

    run("check_cdc_connection", "prod")

    assert len(org.state()["token_requests"]) == before + 1


def test_a_soap_login_is_noted_to_end(org):
    connection = connection_to(org.url, org.credentials, auth="soap", login_url=org.url)

    output = run("check_cdc_connection", connection.name)

    assert "note: Salesforce is retiring SOAP login" in output.out
    assert "login: accepted (SOAP login)" in output.out
