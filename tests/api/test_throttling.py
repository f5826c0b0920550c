import pytest
from django.conf import settings
from rest_framework.test import APIClient

from tests.api.answers import problem
from tests.api.requests import LISTENERS


@pytest.fixture
def rates(monkeypatch):
    """The product's own rate limit, lowered."""

    def lower(**rates: str) -> None:
        for who, rate in rates.items():
            assert who in settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
            monkeypatch.setitem(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], who, rate)

    return lower


def test_a_throttled_user_gets_the_time_to_wait(client_of, rates):
    rates(user="3/min")
    ann, bob = client_of("view_listener"), client_of("view_listener")

    assert [ann.get(LISTENERS).status_code for _ in range(3)] == [200] * 3
    refused = ann.get(LISTENERS)

    problem(refused, 429)
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert bob.get(LISTENERS).status_code == 200


def test_anonymous_reads_of_the_documentation_are_throttled_by_address(db):
    client = APIClient()

    answers = [client.get("/api/docs/") for _ in range(61)]

    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    problem(answers[-1], 429)


def test_token_guesses_are_throttled_and_a_right_token_is_not(client_of, rates):
    rates(anon="3/min")
    nobody, ann = APIClient(), client_of("view_listener")

    def guess(number: int):
        address = {"X-Forwarded-For": f"192.0.2.{number}", "Authorization": "Token wrong"}
        return nobody.get(LISTENERS, headers=address)

    assert [guess(number).status_code for number in range(3)] == [401] * 3
    assert 0 < int(guess(3).headers["Retry-After"]) <= 60
    problem(nobody.get(LISTENERS), 429)
    assert ann.get(LISTENERS).status_code == 200
