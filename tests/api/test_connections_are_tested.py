"""The API tests a connection's login: its findings, the permission, and the rate limit."""

import pytest

from audit.models import OperatorAction
from listeners.models import Connection
from listeners.secrets.encrypted_field import Secret
from tests.api.answers import errors, problem
from tests.api.requests import CONNECTIONS, LISTENERS, connection
from tests.api.test_throttling import rates

__all__ = ["rates"]


def steps(answer) -> dict[str, bool]:
    """Return for each step whether all its findings are successful."""
    assert answer.status_code == 200, answer.content
    found: dict[str, bool] = {}
    for finding in answer.json()["findings"]:
        found[finding["step"]] = found.get(finding["step"], True) and not finding["is_failure"]
    return found


def test_a_connection_and_its_listener_are_tested(org_listener, client_of):
    operator = client_of("operate_listener")

    for page in (f"{CONNECTIONS}{org_listener.connection.pk}/", f"{LISTENERS}{org_listener.pk}/"):
        answer = operator.post(f"{page}test/")
        assert answer.json()["works"] is True
        found = steps(answer)
        assert (found["login"], found["channel"]) == (True, True)
    noted = OperatorAction.objects.filter(action="test").values_list("object_type", flat=True)
    assert set(noted) <= {"connection", "listener"}
    assert len(noted) == 2


@pytest.mark.parametrize("secret", ["right", "wrong"])
def test_a_connection_is_tested_before_it_is_made(simulator, client_of, transactional_db, secret):
    right = simulator.credentials
    fields = connection(base_url=simulator.url, client_id=right["client_id"])
    fields["client_secret"] = right["client_secret"] if secret == "right" else "guessed it"

    answer = client_of("add_connection").post(f"{CONNECTIONS}test/", fields)

    assert answer.json()["works"] is (secret == "right")
    assert steps(answer)["login"] is (secret == "right")
    assert fields["client_secret"] not in answer.content.decode()
    assert not Connection.objects.exists()
    assert OperatorAction.objects.get().details == {"works": secret == "right", "unsaved": True}


def test_what_could_not_be_saved_is_not_tested(client_of):
    refused = client_of("add_connection").post(f"{CONNECTIONS}test/", connection(auth="none"))

    assert "auth" in errors(refused)
    assert not OperatorAction.objects.exists()


def test_a_viewer_cannot_test_a_connection(client_of, listener):
    viewer = client_of("view_connection", "view_listener")

    problem(viewer.post(f"{CONNECTIONS}test/", connection()), 403)
    problem(viewer.post(f"{CONNECTIONS}{listener.connection.pk}/test/"), 403)
    problem(viewer.post(f"{LISTENERS}{listener.pk}/test/"), 403)


def test_logins_have_a_rate_of_their_own(client_of, rates, listener):
    rates(login="2/hour")
    operator = client_of("view_listener", "operate_listener")
    listener.connection.client_secret = Secret.of("env:NOT_IN_THE_ENVIRONMENT")
    listener.connection.save()
    page = f"{LISTENERS}{listener.pk}/test/"

    answers = [operator.post(page) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].json()["works"] is False
    assert 0 < int(answers[2].headers["Retry-After"]) <= 3600
    assert operator.get(LISTENERS).status_code == 200
