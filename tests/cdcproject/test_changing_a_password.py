"""Guesses of the old password on the password change page are throttled as at the login."""

import pytest
from django.core.cache import cache
from django.test import Client

from tests.cdcproject.test_signing_in import PASSWORD, is_in, is_stopped, log_in

PAGE = "/admin/password_change/"
NEW = "another correct horse battery"


@pytest.fixture(autouse=True)
def _few(settings):
    settings.CDC_SIGN_IN_RATE = "3/hour"
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def ann(django_user_model, db):
    return django_user_model.objects.create_superuser("ann", password=PASSWORD)


@pytest.fixture
def session(ann):
    """A browser in which ann is still logged in."""
    client = Client(REMOTE_ADDR="192.0.2.1")
    client.force_login(ann)
    return client


def change(client: Client, old: str, new: str = NEW):
    return client.post(PAGE, {"old_password": old, "new_password1": new, "new_password2": new})


def is_refused(answer) -> bool:
    return "Too many wrong passwords" in answer.content.decode()


def test_after_some_wrong_passwords_even_the_right_one_is_not_looked_at(session, ann):
    assert not any(is_refused(change(session, "wrong")) for _ in range(3))

    refused = change(session, PASSWORD)

    assert is_refused(refused)
    assert "Wait up to 60 minutes" in refused.content.decode()
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)


def test_the_right_password_can_be_changed_and_the_session_stays(session, ann):
    change(session, "wrong")

    assert is_in(change(session, PASSWORD))
    ann.refresh_from_db()
    assert ann.check_password(NEW)
    assert session.get("/admin/").status_code == 200
    assert "Too many" not in session.get(PAGE).content.decode()


def test_the_page_looks_as_before(session):
    page = session.get(PAGE).content.decode()

    assert "Old password" in page
    assert 'name="new_password2"' in page


def test_a_new_password_that_is_refused_does_not_count(session):
    for _ in range(5):
        answer = change(session, PASSWORD, new="short")
        assert "too short" in answer.content.decode()
        assert not is_refused(answer)


def test_guesses_there_and_at_the_login_add_up(session):
    for _ in range(4):
        change(session, "wrong")

    assert is_stopped(log_in(PASSWORD))
    assert is_in(log_in(PASSWORD, address="192.0.2.2")), "nobody is kept out elsewhere"


def test_an_anonymous_visitor_is_sent_to_the_login(db):
    assert Client().get(PAGE).headers["Location"].startswith("/admin/login/")
