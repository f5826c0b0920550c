"""All processes share the record of refused logins, and back off together."""

from datetime import timedelta

import pytest
from django.utils import timezone

from listeners.connections.login_attempts import LoginLedger
from listeners.models import TokenState
from listeners.salesforce.errors import LoginRefused, LoginUnavailable

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(listener, settings):
    settings.CDC_LOGIN_WAITS = (100.0, 500.0)
    return listener.connection


def refused_before(connection, times: int, seconds_ago: float) -> LoginLedger:
    ledger = LoginLedger(connection)
    for _ in range(times):
        ledger.refused("seed", "invalid_grant: authentication failure")
    moment = timezone.now() - timedelta(seconds=seconds_ago)
    TokenState.objects.update(refused_at=moment)
    return LoginLedger(connection)  # as another process has it


@pytest.mark.parametrize(("times", "seconds"), [(1, 50.0), (2, 450.0)])
def test_no_login_is_tried_within_the_growing_waits(connection, times, seconds):
    with pytest.raises(LoginUnavailable, match="authentication failure") as unavailable:
        refused_before(connection, times, seconds).check("seed")

    assert 0 < unavailable.value.retry_after <= 50.0


@pytest.mark.parametrize(("times", "seconds"), [(0, 0.0), (1, 101.0), (2, 501.0), (3, 901.0)])
def test_after_a_wait_and_after_the_cooldown_it_is_tried_once_more(connection, times, seconds):
    refused_before(connection, times, seconds).check("seed")


def test_after_the_last_try_all_processes_stop(connection):
    with pytest.raises(LoginRefused, match="3 attempts were refused") as refused:
        refused_before(connection, 3, 60).check("seed")

    assert refused.value.is_final
    assert "authentication failure" in str(refused.value)


def test_other_credentials_are_tried_at_once(connection):
    refused_before(connection, 3, 0).check("another seed")


def test_a_saved_connection_is_tried_at_once(connection):
    refused_before(connection, 3, 0)
    connection.save()

    LoginLedger(connection).check("seed")


def test_an_operator_may_force_a_login(connection):
    refused_before(connection, 3, 0)

    LoginLedger(connection, must_log_in=True).check("seed")


def test_a_login_that_works_forgets_the_refusals(connection):
    ledger = refused_before(connection, 3, 0)

    ledger.accepted("seed")

    ledger.check("seed")


def test_refusals_of_other_credentials_stay(connection):
    ledger = refused_before(connection, 3, 0)

    ledger.accepted("another seed")

    with pytest.raises(LoginRefused):
        ledger.check("seed")


def test_a_spent_token_is_remembered_by_its_digest_alone(connection):
    LoginLedger(connection).spend("5Aep861")
    LoginLedger(connection).spend("5Aep861")

    assert LoginLedger(connection).is_spent("5Aep861")
    assert not LoginLedger(connection).is_spent("another")
    [spent] = connection.spent_tokens.all()
    assert "5Aep861" not in spent.digest
