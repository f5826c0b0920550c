"""Tokens of Django REST framework are accepted, and the deployment check names their users."""

from django.core.checks import run_checks
from rest_framework.authtoken.models import Token

from api.models import ApiToken


def found() -> list[str]:
    return [one.msg for one in run_checks(include_deployment_checks=True) if one.id == "api.W001"]


def test_whose_token_is_stored_in_plain_text_is_said(django_user_model, db):
    ann = django_user_model.objects.create_user("ann")
    ApiToken(user=ann, name="ours").make_key()
    assert found() == []

    token = Token.objects.create(user=ann)

    [message] = found()
    assert message.endswith("of ann.")
    assert token.key not in message


def test_every_user_is_named(django_user_model, db):
    users = [django_user_model.objects.create_user(f"user{number:02}") for number in range(11)]
    Token.objects.bulk_create(Token(user=user, key=user.username) for user in users)

    [message] = found()
    assert all(user.username in message for user in users)
