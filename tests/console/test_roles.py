"""Viewers, operators and administrators can do in the console what their role permits."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db.migrations.state import ProjectState
from django.utils import timezone

from audit.models import Incident, OperatorAction, Quarantined
from consumer import roles
from consumer.models import RolePermission
from listeners.models import Listener, ListenerUserGrant, Position
from tests.console.conftest import NOW
from tests.sample_data import lease_of

pytestmark = pytest.mark.slow

LISTENERS = "/admin/listeners/listener/"
DELIVERIES = "/admin/handlers/delivery/"
INCIDENTS = "/admin/audit/incident/"
SEEN_BY_ALL = (
    LISTENERS,
    "/admin/listeners/connection/",
    "/admin/audit/auditlogentry/",
    "/admin/audit/quarantined/",
    "/admin/audit/operatoraction/",
    DELIVERIES,
    INCIDENTS,
)


@pytest.fixture
def incident(listener):
    return Incident.objects.create(
        listener=listener, kind="gap", summary="gap", opened_at=NOW, last_seen_at=NOW
    )


def act(client, page: str, action: str, row, **more: str):
    asked = {"action": action, "_selected_action": row.pk, "index": "0", **more}
    return client.post(page, asked)


@pytest.mark.parametrize("role", ["CDC Viewer", "CDC Operator", "CDC Administrator"])
def test_each_role_sees_everything_but_users(as_a, role):
    client = as_a(role)
    assert {client.get(page).status_code for page in SEEN_BY_ALL} == {200}
    allowed = role == "CDC Administrator"
    assert client.get("/admin/auth/user/").status_code == (200 if allowed else 403)


def test_no_role_sees_what_is_kept_of_tokens_or_sensitive_values(db):
    given = set(Permission.objects.filter(group__isnull=False).values_list("codename", flat=True))
    assert "view_listener" in given
    assert not given & {"view_sensitive", "view_tokenstate", "view_kepttokens", "view_spenttoken"}


def test_a_viewer_is_shown_no_button_and_refused_every_action(
    as_a, listener, incident, make_delivery
):
    delivery = make_delivery(state="dead", halts=True)
    viewer = as_a("CDC Viewer")
    page = viewer.get(f"{LISTENERS}{listener.pk}/change/").content.decode()
    assert "Forget position" not in page
    assert f"{listener.pk}/stop/" not in page
    assert "Redeliver" not in viewer.get(f"{DELIVERIES}{delivery.pk}/change/").content.decode()
    assert ">Acknowledge<" not in viewer.get(f"{INCIDENTS}{incident.pk}/change/").content.decode()
    for answer in (
        act(viewer, LISTENERS, "stop_listeners", listener),
        viewer.post(f"{LISTENERS}{listener.pk}/stop/"),
        viewer.post(f"{LISTENERS}{listener.pk}/forget-position/"),
        act(viewer, DELIVERIES, "redeliver", delivery, confirm="yes"),
        act(viewer, DELIVERIES, "go_on_without", delivery, confirm="yes"),
        viewer.post(f"{DELIVERIES}redeliver-dead/", {"confirm": "yes"}),
        act(viewer, INCIDENTS, "close_incidents", incident, note=""),
        viewer.post(f"{LISTENERS}{listener.pk}/change/", {"name": "mine"}),
    ):
        assert answer.status_code == 403, answer
    listener.refresh_from_db()
    assert (listener.enabled, listener.name != "mine") == (True, True)
    incident.refresh_from_db()
    assert incident.is_open
    delivery.refresh_from_db()
    assert (delivery.state, delivery.halts) == ("dead", True)


def test_an_operator_runs_the_listener_and_edits_nothing(as_a, listener):
    lease_of(listener)
    Position.objects.update(replay_id="52", lease_until=NOW)
    operator = as_a("CDC Operator")
    assert "Stop" in operator.get(f"{LISTENERS}{listener.pk}/change/").content.decode()
    page = operator.get(f"{LISTENERS}{listener.pk}/stop/").content.decode()
    assert 'name="reason"' in page
    operator.post(f"{LISTENERS}{listener.pk}/stop/", {"reason": "an upgrade"})
    assert not Listener.objects.get().enabled
    act(operator, LISTENERS, "start_listeners", listener)
    assert Listener.objects.get().enabled
    operator.post(f"{LISTENERS}{listener.pk}/forget-position/")
    assert Position.objects.get().replay_id == ""
    assert operator.post(f"{LISTENERS}{listener.pk}/change/", {"name": "x"}).status_code == 403
    assert operator.get("/admin/listeners/connection/add/").status_code == 403


def test_an_operator_redelivers_closes_and_has_messages_read_again(
    as_a, listener, incident, make_delivery
):
    delivery = make_delivery(state="dead")
    unread = Quarantined.objects.create(
        listener=listener, raw="{", digest="0", error="odd", received_at=timezone.now()
    )
    operator = as_a("CDC Operator")
    assert "Redeliver" in operator.get(f"{DELIVERIES}{delivery.pk}/change/").content.decode()
    assert act(operator, DELIVERIES, "redeliver", delivery).status_code == 200
    act(operator, INCIDENTS, "close_incidents", incident, note="seen")
    assert Incident.objects.get().closed_by == "operator"
    page = operator.get(f"/admin/audit/quarantined/{unread.pk}/change/").content.decode()
    assert ">Retry<" in page


def test_an_administrator_edits_settings_and_users_and_no_superuser(as_a, listener, admin_user):
    administrator = as_a("CDC Administrator")
    assert administrator.get("/admin/listeners/connection/add/").status_code == 200
    page = administrator.get(f"{LISTENERS}{listener.pk}/change/").content.decode()
    assert 'name="name"' in page
    user = Group.objects.get(name="CDC Administrator").user_set.get()
    own = administrator.get(f"/admin/auth/user/{user.pk}/change/").content.decode()
    assert 'name="username"' in own
    assert 'name="is_superuser"' not in own
    of_a_key = {"auth_token__key__startswith": "a"}
    assert administrator.get("/admin/auth/user/", of_a_key).status_code == 400
    above = f"/admin/auth/user/{admin_user.pk}/"
    assert 'name="username"' not in administrator.get(f"{above}change/").content.decode()
    assert administrator.post(f"{above}password/", {"password1": "x"}).status_code == 403
    assert administrator.post(f"{above}delete/", {"post": "yes"}).status_code == 403


def test_the_permission_to_change_a_row_includes_its_separate_permissions(
    client, incident, django_user_model
):
    user = django_user_model.objects.create_user("ann", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__endswith="_incident"))
    user.user_permissions.remove(Permission.objects.get(codename="close_incident"))
    client.force_login(user)
    act(client, INCIDENTS, "close_incidents", incident, note="seen")
    assert not Incident.objects.get().is_open


@pytest.mark.django_db
def test_a_migration_gives_a_role_what_is_new_and_leaves_the_rest_as_it_is():
    viewer = Group.objects.get(name="CDC Viewer")
    before = set(viewer.permissions.values_list("codename", flat=True))
    viewer.permissions.add(Permission.objects.get(codename="view_sensitive"))
    viewer.permissions.remove(Permission.objects.get(codename="view_listener"))
    new = Permission.objects.get(codename="view_delivery")
    viewer.permissions.remove(new)
    RolePermission.objects.get(role="CDC Viewer", permission="handlers.view_delivery").delete()
    call_command("migrate", verbosity=0)
    after = set(viewer.permissions.values_list("codename", flat=True))
    assert after == (before | {"view_sensitive"}) - {"view_listener"}


@pytest.mark.django_db
def test_a_role_that_was_deleted_is_not_made_again():
    Group.objects.get(name="CDC Operator").delete()
    call_command("migrate", verbosity=0)
    roles = ("CDC Viewer", "CDC Operator", "CDC Administrator")
    left = Group.objects.filter(name__in=roles).values_list("name", flat=True)
    assert set(left) == {"CDC Viewer", "CDC Administrator"}


@pytest.mark.django_db
def test_a_migration_before_there_are_groups_makes_none():
    Group.objects.all().delete()
    roles.update_roles("default", apps=ProjectState().apps)
    assert not Group.objects.exists()


def test_an_administrator_gives_single_listeners_and_takes_them_away(
    as_a, listener, django_user_model
):
    client, ann = as_a("CDC Administrator"), django_user_model.objects.create_user("ann")
    page = f"/admin/auth/user/{ann.pk}/change/"
    formsets = [one.formset for one in client.get(page).context["inline_admin_formsets"]]
    counts = {f"{one.prefix}-{n}_FORMS": "0" for one in formsets for n in ("TOTAL", "INITIAL")}
    fields = {"username": "ann", "date_joined_0": "2025-11-25", "date_joined_1": "12:00", **counts}
    row, total = f"{formsets[0].prefix}-0", f"{formsets[0].prefix}-TOTAL_FORMS"
    given = Permission.objects.get(codename="operate_listener")
    new = {f"{row}-permission": given.pk, f"{row}-content_object": listener.pk}

    client.post(page, {**fields, total: "1", **new})
    grant = ListenerUserGrant.objects.get(user=ann, permission=given, content_object=listener)
    kept = {f"{formsets[0].prefix}-INITIAL_FORMS": "1", f"{row}-id": grant.pk, f"{row}-DELETE": "1"}
    client.post(page, {**fields, total: "1", **kept})

    assert not ListenerUserGrant.objects.exists()
    noted = OperatorAction.objects.order_by("id").values_list("details", flat=True)
    assert [set(details) - {"fields"} for details in noted] == [{"added"}, {"deleted"}]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Viewer", "Operator", "Administrator"])
def test_a_group_of_the_site_is_never_touched(name):
    group = Group.objects.create(name=name)

    call_command("migrate", verbosity=0)

    assert not group.permissions.exists()
