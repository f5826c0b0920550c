"""If two users change the same field, the form names it, also if the page hides it. A save sets no
other field back."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from console.admin.concurrent_form import INPUT
from handlers.external.inspection import TaskCheck
from handlers.models import Destination
from listeners.models import Connection
from listeners.secrets.encrypted_field import Secret
from tests.console.opened_form import opened, posted
from tests.sample_data import make_listener, make_mapping

pytestmark = pytest.mark.slow

BOTH = "another user or program changed it after you opened this page"


def page(row, name="change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{name}/"


def errors(response) -> dict[str, list[str]]:
    return dict(response.context["adminform"].form.errors)


@pytest.fixture
def any_task(monkeypatch):
    """The workers of every destination know every task."""

    class Survey:
        def check(self, *_):
            return TaskCheck()

    monkeypatch.setattr("console.admin.mappings.page.survey", lambda _: Survey())


@pytest.mark.usefixtures("any_task")
def test_of_a_task_every_setting_that_both_changed_is_named(admin_client):
    shops = [
        Destination.objects.create(name=name, broker="redis://127.0.0.1:1/0")
        for name in ("first", "theirs", "mine")
    ]
    fields = {"handler": "", "task": "shop.sync", "destination": shops[0], "report_timeout": 10}
    mapping = make_mapping(make_listener(), **fields)
    form = opened(admin_client, page(mapping))
    type(mapping).objects.update(task="shop.theirs", destination=shops[1], report_timeout=30)

    mine = {"task": "shop.mine", "destination": str(shops[2].pk), "report_timeout": "20"}
    refused = admin_client.post(page(mapping), form | mine)

    assert errors(refused).keys() == {"task", "destination", "report_timeout"}
    assert all(BOTH in str(texts) for texts in errors(refused).values())


def test_a_field_that_the_kind_of_login_hides_is_named_above_the_form(admin_client):
    connection = make_listener().connection
    form = opened(admin_client, page(connection))
    Connection.objects.update(auth="bearer_token", token=Secret.of("t"), client_id="theirs")

    refused = admin_client.post(page(connection), form | {"client_id": "mine"})

    [text] = errors(refused)["__all__"]
    assert text.startswith("Client ID is now “theirs”")


def test_the_label_is_not_repeated(admin_client):
    connection = make_listener().connection
    form = opened(admin_client, page(connection))
    Connection.objects.update(audience="https://theirs.example.com")

    mine = form | {"audience": "https://mine.example.com"}
    [text] = errors(admin_client.post(page(connection), mine))["__all__"]
    tested = admin_client.post(page(connection, "test"), mine)

    assert text.startswith("Audience is now “https://theirs.example.com”")
    said = [json.loads(line).get("text", "") for line in b"".join(tested).splitlines()]
    assert text in said
    assert not any("Audience: Audience" in one for one in said)


def test_times_of_a_user_are_not_set_back(admin_client):
    user = User.objects.create_user("ann", password="x")
    User.objects.filter(pk=user.pk).update(last_login=timezone.now() - timedelta(days=1))
    form = opened(admin_client, page(user))
    login = timezone.now()
    User.objects.filter(pk=user.pk).update(last_login=login)

    admin_client.post(page(user), form | {"first_name": "Ann"})

    user.refresh_from_db()
    assert (user.first_name, user.last_login) == ("Ann", login)


def test_who_may_only_view_gets_no_digest_of_secrets(client, admin_client):
    connection = make_listener().connection
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)

    assert INPUT in opened(admin_client, page(connection))
    shown = client.get(page(connection))
    assert shown.status_code == 200
    assert INPUT not in posted(shown.content.decode())
