import io

import pytest
from django.core.management import call_command
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from listeners.models import Connection, Listener
from tests.api.answers import errors, problem
from tests.api.requests import CONNECTIONS, EVERYTHING, LISTENERS, MAPPINGS, connection
from tests.sample_data import make_listener, make_mapping

#: The model of each address, which its permissions are named after.
MODELS = dict(
    zip(
        EVERYTHING,
        (
            "connection",
            "listener",
            "handlermapping",
            "auditlogentry",
            "delivery",
            "redelivery",
            "incident",
            "operatoraction",
            "mirror",
            "destination",
        ),
        strict=True,
    )
)


@pytest.mark.parametrize("address", [*EVERYTHING, "/api/v1/"])
def test_an_anonymous_request_needs_a_token(db, address):
    response = APIClient().get(address)

    problem(response, 401)
    assert response.headers["WWW-Authenticate"] == "Token"


@pytest.mark.parametrize("token", ["wrong", "wr\0ng", "cdc_wrong"])
def test_a_wrong_token_opens_nothing(db, token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert problem(client.get(LISTENERS), 401)["detail"] == "Invalid token."


def test_the_command_of_rest_framework_makes_a_token(django_user_model, db):
    django_user_model.objects.create_superuser("ann")
    output = io.StringIO()
    call_command("drf_create_token", "ann", stdout=output)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.get().key}")

    assert Token.objects.get().key in output.getvalue()
    assert client.get(LISTENERS).status_code == 200


def test_a_session_of_the_console_is_enough_to_read_and_needs_its_csrf_token_to_write(
    django_user_model, db
):
    django_user_model.objects.create_superuser("ann", password="pass")
    client = APIClient(enforce_csrf_checks=True)
    assert client.login(username="ann", password="pass")

    assert client.get(CONNECTIONS).status_code == 200
    assert "CSRF" in problem(client.post(CONNECTIONS, connection()), 403)["detail"]
    assert not Connection.objects.exists()


@pytest.mark.parametrize(("address", "model"), MODELS.items())
def test_to_read_takes_the_permission_to_view(client_of, address, model):
    others = [f"view_{other}" for other in MODELS.values() if other != model]

    problem(client_of(*others).get(address), 403)
    problem(client_of(f"add_{model}", f"change_{model}").get(address), 403)
    assert client_of(f"view_{model}").get(address).status_code == 200


def test_to_write_takes_the_permission_for_each_verb(client_of):
    reader = client_of("view_connection")
    problem(reader.post(CONNECTIONS, connection()), 403)

    made = client_of("add_connection").post(CONNECTIONS, connection())
    assert made.status_code == 201
    page = f"{CONNECTIONS}{made.json()['id']}/"

    problem(client_of("add_connection").patch(page, {"client_id": "x"}), 403)
    assert client_of("change_connection").patch(page, {"client_id": "x"}).status_code == 200
    problem(client_of("change_connection").delete(page), 403)
    assert client_of("delete_connection").delete(page).status_code == 204


def test_handlers_of_a_new_listener_take_the_permission_to_add_them(client_of):
    Connection.objects.create(**connection())
    wanted = {"connection": "prod", "handlers": [{"on": "create"}]}

    problem(client_of("add_listener").post(LISTENERS, wanted), 403)
    assert not Listener.objects.exists()
    both = client_of("add_listener", "add_handlermapping", "view_connection")
    assert both.post(LISTENERS, wanted).status_code == 201


def test_a_new_listener_gets_no_connection_that_its_maker_may_not_see(client_of):
    Connection.objects.create(**connection())

    refused = client_of("add_listener").post(LISTENERS, {"connection": "prod"})

    assert errors(refused) == {"connection": ["There is no connection 'prod'."]}


def test_without_permission_a_row_and_a_missing_one_get_the_same_answer(client_of):
    mapping = make_mapping(make_listener())

    for address in (f"{MAPPINGS}{mapping.pk}/", f"{MAPPINGS}{mapping.pk + 1}/"):
        problem(client_of("view_listener").get(address), 403)


def test_a_user_who_was_switched_off_is_let_in_no_more(client_of, django_user_model):
    client = client_of(is_superuser=True)
    django_user_model.objects.update(is_active=False)

    problem(client.get(LISTENERS), 401)


def test_the_console_does_not_list_tokens(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("ann"))

    assert client.get("/admin/authtoken/tokenproxy/").status_code == 404
    assert "authtoken" not in client.get("/admin/").content.decode()
