"""Users with the permission start and stop listeners and forget positions over the API, and the
action log records it."""

from django.utils import timezone

from audit.models import OperatorAction
from listeners.models import Listener, Position
from tests.api.answers import errors, problem
from tests.api.requests import ACTIONS, CONNECTIONS, LISTENERS, MAPPINGS, connection, proxy
from tests.sample_data import long_lease_of


def actions(api, **filters) -> list[tuple[str, str]]:
    rows = api.get(ACTIONS, filters).json()["results"]
    return [(row["action"], row["object_name"]) for row in rows]


def test_a_listener_is_stopped_once_and_started_once(client_of, listener):
    operator = client_of("view_listener", "operate_listener")
    page = f"{LISTENERS}{listener.pk}/"

    assert operator.post(f"{page}stop/", {"reason": "an upgrade"}).json()["enabled"] is False
    assert "not enabled" in problem(operator.post(f"{page}stop/"), 409)["detail"]
    assert operator.post(f"{page}start/").json()["enabled"] is True
    assert "already enabled" in problem(operator.post(f"{page}start/"), 409)["detail"]
    assert "why" in errors(operator.post(f"{page}stop/", {"why": "?"}))


def test_a_position_is_forgotten_unless_a_process_runs_the_listener(api, listener):
    page = f"{LISTENERS}{listener.pk}/forget-position/"
    assert "no position" in problem(api.post(page), 409)["detail"]
    long_lease_of(listener)
    Position.objects.update(replay_id="52478913")
    assert "A process runs" in problem(api.post(page), 409)["detail"]
    Position.objects.update(lease_until=timezone.now())

    assert api.post(page).json()["position"]["replay_id"] == ""
    assert OperatorAction.objects.get().details == {"replay_id": "52478913"}


def test_a_refusal_names_the_permission_that_is_missing(client_of, listener):
    page = f"{LISTENERS}{listener.pk}/"
    reader = client_of("view_listener")

    for verb in ("start", "stop", "forget-position"):
        refused = problem(reader.post(f"{page}{verb}/"), 403)
        assert "listeners.operate_listener" in refused["detail"]
    assert "listeners.change_listener" in problem(reader.patch(page, {}), 403)["detail"]
    assert Listener.objects.get().enabled


def test_a_user_who_may_change_a_listener_may_stop_it(client_of, listener):
    changer = client_of("change_listener")

    assert changer.post(f"{LISTENERS}{listener.pk}/stop/").status_code == 200


def test_the_action_log_names_changed_fields_without_values(client_of, api):
    ann = client_of(is_superuser=True)
    made = ann.post(CONNECTIONS, connection(proxy_config=proxy())).json()
    page = f"{CONNECTIONS}{made['id']}/"
    ann.patch(page, {"client_id": "client"})
    ann.patch(page, {"client_id": "other", "client_secret": "very hush"})
    crm = ann.post(LISTENERS, {"name": "crm", "connection": "prod"}).json()
    ann.patch(f"{LISTENERS}{crm['id']}/", {"enabled": False})
    ann.post(MAPPINGS, {"listener": "crm", "on": "create"})
    ann.delete(f"{LISTENERS}{crm['id']}/")

    assert actions(api) == [
        ("delete", "crm"),
        ("add", "onCreate *: recorded only"),
        ("stop", "crm"),
        ("add", "crm"),
        ("change", "prod"),
        ("add", "prod"),
    ]
    changed = OperatorAction.objects.get(action="change")
    assert changed.details == {"fields": ["client_id", "client_secret"]}
    assert (changed.through, changed.user.username) == ("api", changed.who)
    assert "hush" not in str(list(OperatorAction.objects.values()))


def test_actions_are_filtered_and_never_changed(api, listener):
    api.post(f"{LISTENERS}{listener.pk}/stop/")
    api.post(f"{LISTENERS}{listener.pk}/start/")

    assert actions(api, action="stop") == [("stop", listener.name)]
    assert len(actions(api, object_type="listener", object_id=listener.pk)) == 2
    assert actions(api, who="nobody") == []
    assert actions(api, since=timezone.now().isoformat()) == []
    assert "action" in errors(api.get(ACTIONS, {"action": "odd"}))
    row = api.get(ACTIONS).json()["results"][0]
    for method in (api.put, api.patch, api.delete):
        problem(method(f"{ACTIONS}{row['id']}/", {}), 405)
    problem(api.post(ACTIONS, {}), 405)
