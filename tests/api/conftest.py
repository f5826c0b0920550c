import itertools

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _unthrottled():
    """Clear the cache, which counts each caller's requests, before every test."""
    cache.clear()


@pytest.fixture
def client_of(django_user_model, db):
    """A client with the token of a new user who has these permissions, such as view_listener."""

    def make(*permissions: str, **fields) -> APIClient:
        user = django_user_model.objects.create_user(f"user{next(_numbers)}", **fields)
        found = Permission.objects.filter(codename__in=permissions)
        assert found.count() == len(permissions)
        user.user_permissions.set(found)
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=user).key}")
        return client

    return make


@pytest.fixture
def api(client_of):
    """A client of a superuser."""
    return client_of(is_superuser=True)
