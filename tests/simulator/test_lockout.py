"""Several wrong passwords in a row lock the user until an administrator unlocks it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.simulator.process import SimulatorProcess
from tests.simulator.test_soap_login import INVALID_LOGIN, log_in, text_of
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere


@pytest.fixture
def strict_org() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--lock-after", "3") as process:
        yield process


def test_the_right_password_is_refused_until_the_user_is_unlocked(
    strict_org: SimulatorProcess,
) -> None:
    known = strict_org.credentials
    with WireClient(strict_org) as client:

        def by_password(password: str) -> str:
            answer = client.token_request(
                grant_type="password", username=known["username"], password=password
            ).json()
            return str(answer.get("error_description", "ok"))

        by_password("wrong")
        log_in(strict_org, password="wrong")
        before = strict_org.state()["logins"]
        by_password("wrong")
        locked = by_password(known["password"])
        soap = log_in(strict_org)
        during = strict_org.state()["logins"]
        strict_org.unlock()
        after = by_password(known["password"])

    assert (before["failed_logins_in_a_row"], before["locked"]) == (2, False)
    assert (during["failed_logins"], during["locked"]) == (5, True)
    assert locked == "authentication failure"
    assert text_of(soap, "faultstring") == INVALID_LOGIN
    assert after == "ok"


def test_a_good_login_resets_the_count(strict_org: SimulatorProcess) -> None:
    statuses = []
    for password in ("wrong", "wrong", "", "wrong", "wrong", ""):
        given: dict[str, Any] = {"password": password} if password else {}
        statuses.append(log_in(strict_org, **given).status_code)

    assert statuses == [500, 500, 200, 500, 500, 200]
    assert strict_org.state()["logins"]["failed_logins"] == 4


def test_wrong_passwords_for_an_unknown_name_lock_no_user(strict_org: SimulatorProcess) -> None:
    for _ in range(3):
        log_in(strict_org, username="nobody@example.com")

    assert log_in(strict_org).status_code == 200


def test_the_user_is_never_locked_unless_asked_for(org: SimulatorProcess) -> None:
    for _ in range(12):
        log_in(org, password="wrong")

    assert log_in(org).status_code == 200
