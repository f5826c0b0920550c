import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from audit.models import OperatorAction
from handlers.models import HandlerMapping
from mirror.models import Mirror, MirrorRun
from tests.api.answers import errors, problem
from tests.api.requests import LISTENERS, MAPPINGS, MIRRORS
from tests.mirror.adding import add, in_sync
from tests.sample_data import make_mapping


@pytest.fixture
def mirror(listener):
    return add(listener)


def page(mirror, action="") -> str:
    return f"{MIRRORS}{mirror.pk}/{action}"


def test_a_mirror_is_read_with_its_status(api, mirror):
    [found] = api.get(MIRRORS).json()["results"]

    assert found == api.get(page(mirror)).json()
    created_at = found.pop("created_at")
    assert created_at.endswith("Z")
    progress = found.pop("progress")
    assert (progress["kind"], progress["state"], progress["done"]) == ("load", "waiting", 0)
    assert found == {
        "id": mirror.pk,
        "model": "crm.Account",
        "object": "Account",
        "listener": mirror.listener.name,
        "database": "default",
        "deletes": "soft",
        "verify": "daily",
        "state": "new",
        "reason": f"Listener {mirror.listener} is stopped",
        "rows": 0,
        "rows_in_salesforce": None,
        "in_sync_as_of": None,
        "last_verified_at": None,
        "differences": 0,
    }


def test_a_mirror_is_created_once_the_org_knows_its_object(api, org_listener, broker):
    response = api.post(MIRRORS, {"model": "crm.Account", "listener": org_listener.name})

    assert response.status_code == 201, response.json()
    assert response.json()["object"] == "Account"
    assert MirrorRun.objects.get().kind == "load"
    again = api.post(MIRRORS, {"model": "crm.Account", "listener": org_listener.name})
    assert "already" in str(errors(again)["model"])


def test_an_unreachable_org_is_named(api, transactional_db, make_listener):
    listener = make_listener()

    response = api.post(MIRRORS, {"model": "crm.Account", "listener": listener.name})

    assert "check_cdc_connection" in str(errors(response)["listener"])
    assert not Mirror.objects.exists()


def test_deletes_and_verify_change_and_the_rest_does_not(api, mirror):
    tag = api.get(page(mirror)).headers["ETag"]

    assert (
        api.patch(page(mirror), {"deletes": "hard"}, headers={"If-Match": tag}).json()["deletes"]
        == "hard"
    )
    problem(api.patch(page(mirror), {"verify": "never"}, headers={"If-Match": tag}), 412)
    assert "cannot be changed" in str(
        errors(api.patch(page(mirror), {"model": "crm.Contact"}))["model"]
    )
    assert OperatorAction.objects.first().details == {"fields": ["deletes"]}


def test_a_mirror_is_deleted_unless_handlers_follow_it(api, mirror):
    after = make_mapping(mirror.listener, "update", entity="Account", after="mirror")
    assert "onUpdate Account" in problem(api.delete(page(mirror)), 409)["detail"]

    after.delete()

    assert api.delete(page(mirror)).status_code == 204
    assert not HandlerMapping.objects.exists()


def test_runs_are_requested_followed_and_cancelled(api, mirror):
    in_sync(mirror)

    response = api.post(page(mirror, "verify/"), {"depth": "full"})

    assert response.status_code == 202
    run = response.json()
    assert (run["kind"], run["options"]) == ("verify", {"depth": "full"})
    assert api.post(page(mirror, "load/")).json()["kind"] == "load"
    assert api.post(page(mirror, "repair/")).json()["kind"] == "repair"
    kinds = [row["kind"] for row in api.get(page(mirror, "runs/")).json()["results"]]
    assert kinds == ["repair", "load", "verify", "load"]
    cancel = page(mirror, f"runs/{run['id']}/cancel/")
    assert api.post(cancel, {"reason": "later"}).json()["state"] == "cancelled"
    problem(api.post(cancel), 409)


def test_differences_have_both_values(api, mirror):
    fields = {"record_id": "001000000000001AAA", "reason": "formula", "found_at": timezone.now()}
    mirror.differences.create(run=mirror.runs.get(), field="Score__c", here=1, there=2, **fields)
    mirror.differences.create(
        run=mirror.runs.get(), repaired_at=timezone.now(), repaired_by="read again", **fields
    )

    [found] = api.get(page(mirror, "differences/"), {"open": "true"}).json()["results"]

    assert (found["field"], found["here"], found["there"]) == ("Score__c", 1, 2)
    assert len(api.get(page(mirror, "differences/")).json()["results"]) == 2


def test_mappings_of_mirrors_are_read_only(api, mirror):
    mapping = HandlerMapping.objects.filter(managed=True).first()
    row = f"{MAPPINGS}{mapping.pk}/"

    assert api.get(row).json()["managed"] is True
    refused = (api.patch(row, {"queue": "x"}), api.delete(row), api.post(f"{row}pause/", {}))
    for answer in refused:
        assert "belongs to the mirror crm.Account" in problem(answer, 409)["detail"]
    assert api.get(MAPPINGS, {"managed": "false"}).json()["results"] == []


def test_an_operator_loads_and_does_not_delete(client_of, mirror):
    viewer, operator = client_of("view_mirror"), client_of("view_mirror", "operate_listener")

    assert viewer.get(page(mirror)).status_code == 200
    problem(viewer.post(page(mirror, "load/")), 403)
    assert operator.post(page(mirror, "load/")).status_code == 202
    problem(operator.delete(page(mirror)), 403)
    problem(client_of().get(MIRRORS), 403)


def test_a_listener_with_mirrors_is_not_deleted(api, mirror):
    answer = api.delete(f"{LISTENERS}{mirror.listener.pk}/")

    assert "keeps mirrors: crm.Account" in problem(answer, 409)["detail"]


def test_sensitive_values_of_differences_are_masked(client_of, mirror):
    mirror.listener.sensitive_fields = ["Phone"]
    mirror.listener.save()
    mirror.differences.create(
        run=mirror.runs.get(),
        record_id="001000000000001AAA",
        field="Phone",
        here="+43 1",
        there="+43 2",
        reason="unexplained",
        found_at=timezone.now(),
    )

    answer = client_of("view_mirror").get(page(mirror, "differences/")).json()

    assert [(row["here"], row["there"]) for row in answer["results"]] == [("***", "***")]


def test_a_grant_on_another_listener_shows_nothing_of_a_mirror(
    client_of, mirror, make_listener, django_user_model
):
    granted = client_of()
    user = django_user_model.objects.latest("id")
    assign_perm("view_listener", user, make_listener())

    assert granted.get(MIRRORS).json()["results"] == []
    for action in ("", "runs/", "differences/"):
        problem(granted.get(page(mirror, action)), 404)

    assign_perm("view_listener", user, mirror.listener)
    for action in ("", "runs/", "differences/"):
        assert granted.get(page(mirror, action)).status_code == 200
    problem(granted.post(page(mirror, "load/")), 403)
