"""A form saves what its user changed, and keeps what others change meanwhile."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.forms import BaseForm
from django.utils import timezone

from handlers.models import HandlerMapping
from listeners.models import Connection
from tests.console.opened_form import opened
from tests.sample_data import make_listener, make_mapping

pytestmark = pytest.mark.slow


@pytest.fixture
def during_the_request(monkeypatch):
    """Makes a change of another process between the loading of a row and its saving."""

    def arrange(change) -> None:
        def full_clean(form):
            change()
            original(form)

        original = BaseForm.full_clean
        monkeypatch.setattr(BaseForm, "full_clean", full_clean)

    return arrange


@pytest.fixture
def ann(db) -> User:
    return User.objects.create_user("ann", "ann@example.com", "a-long-passphrase-1", is_staff=True)


def page_of(user: User) -> str:
    return f"/admin/auth/user/{user.pk}/change/"


def test_a_pause_during_the_request_is_kept(admin_client, listener, during_the_request):
    mapping = make_mapping(listener)
    same = HandlerMapping.objects.filter(pk=mapping.pk)
    during_the_request(lambda: same.update(paused_at=timezone.now(), paused_by="ben"))
    form = {"on": "create", "entity": "Account", "handler": mapping.handler, "options": "{}"}
    form |= {"ordering": "per_record", "on_dead": "continue"}

    page = f"/admin/handlers/handlermapping/{mapping.pk}/change/"
    assert admin_client.post(page, form).status_code == 302

    mapping.refresh_from_db()
    assert (mapping.entity, mapping.paused_by) == ("Account", "ben")


def test_a_password_changed_during_the_request_is_kept(admin_client, ann, during_the_request):
    form = opened(admin_client, page_of(ann))
    during_the_request(lambda: User.objects.filter(pk=ann.pk).update(password="!new"))

    assert admin_client.post(page_of(ann), form | {"email": "a@example.com"}).status_code == 302

    ann.refresh_from_db()
    assert (ann.email, ann.password) == ("a@example.com", "!new")


def test_what_others_changed_since_a_users_form_was_opened_is_kept(admin_client, ann):
    form = opened(admin_client, page_of(ann))
    operators = Group.objects.create(name="own operators")
    ann.groups.add(operators)
    User.objects.filter(pk=ann.pk).update(is_active=False, last_name="Meyer")

    form |= {"first_name": "Ann"}
    assert admin_client.post(page_of(ann), form).status_code == 302

    ann.refresh_from_db()
    assert (ann.first_name, ann.last_name, ann.is_active) == ("Ann", "Meyer", False)
    assert [*ann.groups.all()] == [operators]


def test_each_field_of_a_user_can_still_be_changed_and_emptied(admin_client, ann):
    viewers, operators = (Group.objects.create(name=name) for name in ("own v", "own o"))
    ann.groups.add(viewers)
    form = opened(admin_client, page_of(ann))
    del form["is_active"]

    form |= {"email": "", "groups": [operators.pk], "date_joined_0": "2020-01-02"}
    assert admin_client.post(page_of(ann), form).status_code == 302

    ann.refresh_from_db()
    assert (ann.email, ann.is_active, ann.date_joined.year) == ("", False, 2020)
    assert [*ann.groups.all()] == [operators]
    assert ann.check_password("a-long-passphrase-1")


def test_a_program_that_posts_the_fields_alone_changes_all_of_them(admin_client, ann):
    form = opened(admin_client, page_of(ann))
    form = {name: value for name, value in form.items() if not name.startswith("initial-")}
    form |= {"email": ""}
    del form["is_active"]

    assert admin_client.post(page_of(ann), form).status_code == 302

    ann.refresh_from_db()
    assert (ann.email, ann.is_active) == ("", False)


def test_a_group_with_many_permissions_can_be_saved(admin_client, settings):
    group = Group.objects.create(name="everything")
    group.permissions.set(Permission.objects.all())
    page = f"/admin/auth/group/{group.pk}/change/"
    form = opened(admin_client, page)
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = group.permissions.count() + 50

    assert admin_client.post(page, form | {"name": "all"}).status_code == 302

    group.refresh_from_db()
    assert group.name == "all"
    assert group.permissions.count() == Permission.objects.count()


def test_the_form_of_a_user_shows_no_password(admin_client, ann):
    assert ann.password not in admin_client.get(page_of(ann)).content.decode()


def test_permissions_that_others_gave_to_a_group_are_kept(admin_client, db):
    group = Group.objects.create(name="own operators")
    first, second = Permission.objects.filter(codename__in=["view_listener", "view_connection"])
    group.permissions.add(first)
    page = f"/admin/auth/group/{group.pk}/change/"
    form = opened(admin_client, page)
    group.permissions.add(second)

    assert admin_client.post(page, form | {"name": "others"}).status_code == 302

    group.refresh_from_db()
    assert group.name == "others"
    assert {*group.permissions.all()} == {first, second}


def test_a_token_renewed_during_the_request_is_kept(admin_client, during_the_request):
    connection = make_listener().connection
    page = f"/admin/listeners/connection/{connection.pk}/change/"
    form = admin_client.get(page).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields if name != "is_sandbox"}
    posted = {name: "" if value is None else value for name, value in shown.items()}
    renewed = Connection.objects.get(pk=connection.pk)
    renewed.refresh_token = "renewed"
    during_the_request(lambda: renewed.save(update_fields=["refresh_token"]))

    assert admin_client.post(page, posted | {"name": "prod"}).status_code == 302

    stored = Connection.objects.get(pk=connection.pk)
    assert (stored.name, stored.refresh_token.reveal()) == ("prod", "renewed")
