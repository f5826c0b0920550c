"""Password guesses are throttled across all web processes, and other users can still log in."""

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.cache import cache, caches
from django.core.exceptions import ValidationError
from django.test import Client
from rest_framework.test import APIClient

from cdcproject.web.throttle_cache import SharedCache
from tests.api.answers import problem

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _few(settings):
    settings.CDC_SIGN_IN_RATE = "3/hour"
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def ann(django_user_model, db):
    return django_user_model.objects.create_superuser("ann", password=PASSWORD)


def log_in(password: str, *, name="ann", address="192.0.2.1", **headers: str):
    return Client(REMOTE_ADDR=address).post(
        "/admin/login/", {"username": name, "password": password}, headers=headers
    )


def is_in(answer) -> bool:
    return answer.status_code == 302


def is_stopped(answer) -> bool:
    return "Too many logins failed" in answer.content.decode()


def test_after_some_failures_even_the_right_password_is_not_looked_at(ann):
    assert not any(is_stopped(log_in("wrong")) for _ in range(3))

    stopped = log_in(PASSWORD)

    assert is_stopped(stopped)
    assert "Wait up to 60 minutes" in stopped.content.decode()


def test_the_user_is_not_kept_out_elsewhere(ann):
    for _ in range(4):
        log_in("wrong")

    assert is_in(log_in(PASSWORD, address="192.0.2.2"))


def test_a_successful_login_resets_the_count(ann):
    for _ in range(3):
        log_in("wrong")
        log_in("wrong")
        assert is_in(log_in(PASSWORD))


def test_guesses_for_an_unknown_user_are_throttled_too(ann):
    answers = [log_in("wrong", name="nobody") for _ in range(4)]

    assert is_stopped(answers[-1])


def test_one_address_cannot_try_a_password_on_everybody(ann):
    for number in range(30):
        log_in("summer2026", name=f"user{number}")

    assert is_stopped(log_in("summer2026", name="another"))


def test_a_header_that_anybody_can_send_opens_nothing(ann):
    answers = [log_in("wrong", **{"x-forwarded-for": f"198.51.100.{n}"}) for n in range(4)]

    assert is_stopped(answers[-1])


def test_behind_a_proxy_each_visitor_counts_for_himself(ann, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    for _ in range(4):
        log_in("wrong", **{"x-forwarded-for": "198.51.100.9, 203.0.113.7"})

    assert is_stopped(log_in("wrong", **{"x-forwarded-for": "198.51.100.1, 203.0.113.7"}))
    assert is_in(log_in(PASSWORD, **{"x-forwarded-for": "203.0.113.7, 203.0.113.8"}))


def test_a_header_with_an_empty_first_entry_hides_no_visitor(ann, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    answers = [
        log_in("wrong", address=f"192.0.2.{n}", **{"x-forwarded-for": ", 203.0.113.7"})
        for n in range(4)
    ]

    assert is_stopped(answers[-1])


def test_a_network_of_ipv6_is_one_visitor(ann):
    for number in range(4):
        log_in("wrong", address=f"2001:db8:0:1::{number}")

    assert is_stopped(log_in(PASSWORD, address="2001:db8:0:1:ffff::1"))
    assert is_in(log_in(PASSWORD, address="2001:db8:0:2::1"))


def test_visitors_are_told_apart_where_ipv4_is_written_as_ipv6(ann):
    for _ in range(4):
        log_in("wrong", address="::ffff:192.0.2.1")

    assert is_stopped(log_in(PASSWORD))
    assert is_in(log_in(PASSWORD, address="::ffff:192.0.2.2"))


def test_logins_that_succeed_do_not_use_up_an_office_s_address(ann):
    assert all(is_in(log_in(PASSWORD)) for _ in range(31))


def become_another_process() -> None:
    """Drop this process's memory and connection, so that the next count comes from Redis."""
    shared = caches["default"]
    assert isinstance(shared, SharedCache)
    shared._alone.clear()
    del caches["default"]


def test_all_processes_count_together(ann, broker):
    for _ in range(4):
        log_in("wrong")
        become_another_process()

    assert is_stopped(log_in(PASSWORD))


def test_what_was_counted_of_the_api_is_shared_too(db, broker):
    answers = []
    for _ in range(61):
        answers.append(APIClient().get("/api/docs/"))
        become_another_process()

    assert [answer.status_code for answer in answers] == [200] * 60 + [429]
    problem(answers[-1], 429)


@pytest.mark.parametrize("password", ["elevenchars", "123456789012345", "1q2w3e4r5t6y"])
def test_a_password_that_is_easily_guessed_is_not_taken(ann, password):
    with pytest.raises(ValidationError):
        validate_password(password, ann)
