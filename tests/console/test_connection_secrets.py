"""Secrets can be entered in a connection's form, and are never shown."""

import json

import pytest
from django.contrib.auth.models import Permission

from listeners.models import Connection

ADD = "/admin/listeners/connection/add/"
STORED = "the-secret-that-is-stored"
TYPED = "the-secret-that-was-typed"


@pytest.fixture
def connection(db):
    return Connection.objects.create(
        name="prod",
        auth="client_credentials",
        base_url="https://example.my.salesforce.com",
        client_id="client",
        client_secret=STORED,
    )


def page(connection: Connection, name="change") -> str:
    return f"/admin/listeners/connection/{connection.pk}/{name}/"


def form(**fields) -> dict[str, str]:
    return {
        "name": "prod",
        "auth": "client_credentials",
        "base_url": "https://example.my.salesforce.com",
        "client_id": "client",
        **fields,
    }


def stored_secret(connection: Connection, name="client_secret"):
    return getattr(Connection.objects.get(pk=connection.pk), name)


def test_the_change_page_says_that_a_secret_is_set_and_not_which(admin_client, connection):
    html = admin_client.get(page(connection)).content.decode()
    assert "Leave empty to keep the stored value" in html
    assert STORED not in html
    assert stored_secret(connection).stored not in html


def test_the_list_says_that_a_secret_is_set_and_not_which(admin_client, connection):
    html = admin_client.get("/admin/listeners/connection/").content.decode()
    assert "client secret set" in html
    assert STORED not in html
    assert stored_secret(connection).stored not in html


def test_a_reference_that_no_database_keeps_is_said_at_the_field(admin_client):
    answer = admin_client.post(ADD, form(client_secret="env:A\0B"))

    assert "Add the name of the variable or file" in str(answer.context["errors"])
    assert not Connection.objects.exists()


def test_a_reader_sees_no_secret(client, connection, django_user_model):
    reader = django_user_model.objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_connection"))
    client.force_login(reader)
    html = client.get(page(connection)).content.decode()
    assert "https://example.my.salesforce.com" in html
    assert STORED not in html
    assert stored_secret(connection).stored not in html


def test_a_reader_sees_the_fields_of_its_kind_and_no_conditions(client, connection, as_a):
    adminform = as_a("CDC Viewer").get(page(connection)).context["adminform"]
    shown = {name for fieldset in adminform for name in fieldset.fields}
    assert {"base_url", "client_secret", "token_url"} <= shown
    assert not {"password", "refresh_url", "private_key"} & shown
    assert not adminform.model_admin.conditional_fields


def test_the_form_knows_the_fields_of_each_kind_of_login(admin_client, connection):
    form = admin_client.get(page(connection)).context["adminform"].form
    kinds = json.loads(form.fields["auth"].widget.attrs["data-kinds"])
    assert set(kinds) == set(Connection.Auth.values)
    assert kinds["bearer_token"]["required"] == ["base_url", "token"]


def test_a_form_that_is_refused_does_not_show_what_was_typed(admin_client, connection):
    response = admin_client.post(page(connection), form(name="", client_secret=TYPED))
    assert response.status_code == 200
    assert "name" in response.context["adminform"].errors
    assert TYPED not in response.content.decode()
    assert stored_secret(connection).reveal() == STORED


def test_the_history_names_the_field_and_not_the_value(admin_client, connection):
    admin_client.post(page(connection), form(client_secret=TYPED))
    html = admin_client.get(page(connection, "history"), follow=True).content.decode()
    assert "Client secret" in html
    assert TYPED not in html
    assert STORED not in html


def test_an_empty_input_keeps_what_is_stored(admin_client, connection):
    response = admin_client.post(page(connection), form(client_secret="", client_id="other"))
    assert response.status_code == 302
    assert stored_secret(connection).reveal() == STORED
    assert Connection.objects.get().client_id == "other"


def test_a_new_value_takes_the_place_of_the_old_one(admin_client, connection):
    assert admin_client.post(page(connection), form(client_secret=TYPED)).status_code == 302
    assert stored_secret(connection).reveal() == TYPED


def test_a_secret_that_is_not_needed_can_be_cleared(admin_client, connection):
    connection.password = "no longer used"
    connection.save()
    response = admin_client.post(page(connection), form(**{"password-clear": "1"}))
    assert response.status_code == 302
    assert not stored_secret(connection, "password")


def test_a_secret_that_is_needed_cannot_be_cleared(admin_client, connection):
    response = admin_client.post(page(connection), form(**{"client_secret-clear": "1"}))
    assert response.context["adminform"].errors == {
        "client_secret": ["OAuth 2.0 client credentials requires this field."]
    }
    assert stored_secret(connection).reveal() == STORED


def test_a_reference_is_stored_as_it_is_and_shown(admin_client, connection):
    admin_client.post(page(connection), form(client_secret=" env:SF_SECRET "))
    assert stored_secret(connection).reference == "env:SF_SECRET"
    assert "env:SF_SECRET" in admin_client.get(page(connection)).content.decode()


def test_what_a_kind_of_login_lacks_is_said_at_the_field(admin_client, db):
    response = admin_client.post(ADD, form(auth="password"))
    assert response.context["adminform"].errors == {
        "username": ["OAuth 2.0 username and password requires this field."],
        "password": ["OAuth 2.0 username and password requires this field."],
    }
    assert not Connection.objects.exists()


def test_a_new_connection_is_saved_with_its_secret(admin_client, db):
    assert admin_client.post(ADD, form(client_secret=TYPED)).status_code == 302
    assert Connection.objects.get().client_secret.reveal() == TYPED


def test_a_typed_secret_that_was_not_saved_is_asked_for_again(admin_client, connection):
    response = admin_client.post(page(connection), form(client_secret=TYPED, base_url="nonsense"))
    errors = response.context["adminform"].errors
    assert errors["client_secret"] == ["Enter it again: it was not saved and is not shown."]
    assert TYPED not in response.content.decode()
    assert stored_secret(connection).reveal() == STORED


def test_blanks_around_a_pasted_secret_are_dropped(admin_client, connection):
    admin_client.post(page(connection), form(client_secret=f" {TYPED}\n"))
    assert stored_secret(connection).reveal() == TYPED


def test_what_is_wrong_in_a_field_of_another_kind_is_said_where_it_is_seen(
    admin_client, connection
):
    response = admin_client.post(page(connection), form(refresh_config='{"scope": []}'))
    form_errors = response.context["adminform"].errors["__all__"]
    assert form_errors == ["Refresh: Unknown key 'scope'; did you mean scopes?"]


@pytest.mark.parametrize("text", ['{"read_timeout": Infinity}', '{"custom_payload": "\\u0000=1"}'])
def test_what_no_database_keeps_is_said_at_the_field(admin_client, connection, text):
    response = admin_client.post(page(connection), form(client_config=text))
    [error, *_] = response.context["adminform"].errors["client_config"]
    assert error.startswith("The value contains something that the database cannot store")


def test_the_kind_can_be_changed(admin_client, connection):
    fields = {"auth": "password", "username": "me@example.com", "password": " with blanks "}
    response = admin_client.post(page(connection), form(**fields))
    assert response.status_code == 302
    changed = Connection.objects.get(pk=connection.pk)
    assert (changed.auth, changed.password.reveal()) == ("password", " with blanks ")
    assert changed.client_secret.reveal() == STORED


def test_the_private_key_goes_in_with_its_lines_and_never_comes_out(admin_client, connection):
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    fields = {"auth": "jwt_bearer", "username": "me@example.com", "private_key": text}
    assert admin_client.post(page(connection), form(**fields)).status_code == 302
    assert stored_secret(connection, "private_key").reveal().split() == text.split()
    assert text.splitlines()[3] not in admin_client.get(page(connection)).content.decode()
