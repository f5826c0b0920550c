"""API tokens are made in the console or by a command, shown once, expire and can be revoked."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from api.models import ApiToken
from audit.models import OperatorAction
from tests.api.answers import problem
from tests.api.requests import LISTENERS

TOKENS = "/admin/api/apitoken/"


def caller(key: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    return client


@pytest.fixture
def ann(db) -> User:
    user = User.objects.create_user("ann")
    user.groups.add(Group.objects.get(name="CDC Viewer"))
    return user


@pytest.fixture
def token(ann) -> ApiToken:
    made = ApiToken(user=ann, name="CI")
    made.make_key()
    made.save()
    return made


def test_the_console_shows_a_new_token_once_and_keeps_a_digest(admin_client, ann):
    asked = {"user": ann.pk, "name": "CI", "expires_at_0": "2999-01-01", "expires_at_1": "00:00"}
    shown = admin_client.post(f"{TOKENS}add/", asked)

    [key] = re.findall(r'value="(cdc_[\w-]{43})"', shown.content.decode())
    assert "no-store" in shown.headers["Cache-Control"]
    assert caller(key).get(LISTENERS).status_code == 200
    made = ApiToken.objects.get()
    assert key not in str(ApiToken.objects.values().get())
    for page in (TOKENS, f"{TOKENS}{made.pk}/change/", f"{TOKENS}{made.pk}/delete/"):
        html = admin_client.get(page).content.decode()
        assert made.begins_with in html
        assert key not in html
        assert made.digest not in html
    [line] = OperatorAction.objects.filter(action="add")
    assert key not in str(line) + str(line.details)


def test_a_token_that_was_revoked_opens_nothing_and_that_is_noted(admin_client, token):
    assert caller(token.key).get(LISTENERS).status_code == 200

    admin_client.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"})

    assert problem(caller(token.key).get(LISTENERS), 401)["detail"] == "Invalid token."
    assert OperatorAction.objects.filter(action="delete", object_type="apitoken").exists()


@pytest.mark.parametrize(("days", "status"), [(1, 200), (-1, 401)])
def test_a_token_ends_when_it_says_so(token, days, status):
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(days=days))

    assert caller(token.key).get(LISTENERS).status_code == status


def test_a_token_of_a_user_who_was_switched_off_opens_nothing(token):
    User.objects.update(is_active=False)

    problem(caller(token.key).get(LISTENERS), 401)


def test_it_is_written_down_on_which_day_a_token_was_used_last(token, django_assert_num_queries):
    client = caller(token.key)
    client.get(LISTENERS)
    client.get(LISTENERS)

    assert ApiToken.objects.get().last_used_on == timezone.now().date()
    with django_assert_num_queries(4):  # the token, permissions twice, the list
        client.get(LISTENERS)


def test_the_command_prints_a_token(ann, capsys):
    call_command("create_api_token", "ann", "--days", "30")
    key = capsys.readouterr().out.strip()

    assert caller(key).get(LISTENERS).status_code == 200
    assert timedelta(29) < ApiToken.objects.get().expires_at - timezone.now() < timedelta(31)
    with pytest.raises(CommandError, match="There is no user 'bob'"):
        call_command("create_api_token", "bob")


def test_only_an_administrator_makes_tokens_and_none_of_a_superuser(client, ann, admin_user):
    bob = User.objects.create_user("bob", is_staff=True)
    client.force_login(bob)
    bob.groups.add(Group.objects.get(name="CDC Operator"))
    assert client.get(TOKENS).status_code == 403
    assert client.post(f"{TOKENS}add/", {"user": ann.pk, "name": "x"}).status_code == 403

    bob.groups.add(Group.objects.get(name="CDC Administrator"))
    assert client.post(f"{TOKENS}add/", {"user": admin_user.pk, "name": "x"}).status_code == 200
    assert not ApiToken.objects.exists()
    client.post(f"{TOKENS}add/", {"user": ann.pk, "name": "x"})
    token = ApiToken.objects.get()
    assert token.user == ann
    ApiToken.objects.update(user=admin_user)
    assert client.post(f"{TOKENS}{token.pk}/delete/", {"post": "yes"}).status_code == 403
