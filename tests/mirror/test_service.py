import pytest

from audit.models import OperatorAction
from handlers.models import HandlerMapping
from mirror import service
from mirror.models import Mirror, MirrorRun
from mirror.service import Refused
from tests.mirror.adding import add
from tests.sample_data import ANN, make_listener, make_mapping


def refused(*arguments, **fields) -> Refused:
    with pytest.raises(Refused) as found:
        add(*arguments, **fields)
    assert not HandlerMapping.objects.filter(managed=True, listener=arguments[0]).exists()
    return found.value


def test_a_mirror_gets_four_managed_mappings_and_its_first_load(listener):
    mirror = add(listener)

    mappings = HandlerMapping.objects.filter(managed=True)
    assert sorted(mapping.on for mapping in mappings) == ["create", "delete", "restore", "update"]
    assert {(mapping.entity, mapping.handler) for mapping in mappings} == {
        ("Account", "mirror.apply")
    }
    assert all(mapping.options == {"mirror": mirror.pk} for mapping in mappings)
    run = MirrorRun.objects.get()
    assert (run.mirror, run.kind, run.state) == (mirror, "load", "waiting")
    assert [(action.action, action.object_name) for action in OperatorAction.objects.all()] == [
        ("request_run", "crm.Account"),
        ("add", "crm.Account"),
    ]


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"model": "crm.Nothing"}, "model", "There is no model 'crm.Nothing'"),
        ({"model": "audit.Incident"}, "model", "salesforce_object"),
        ({"database": "shop"}, "database", "Set DATABASE_URL_SHOP"),
        ({"deletes": "gently"}, "deletes", "use one of soft, hard"),
        ({"verify": "yearly"}, "verify", "use one of never, hourly"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(listener, fields, field, text):
    error = refused(listener, **fields)

    assert error.field == field
    assert text in str(error)


def test_one_object_has_one_mirror(listener):
    add(listener)
    other = make_listener(connection=listener.connection)

    with pytest.raises(Refused, match=r"crm\.Account is already a mirror of Account"):
        add(other)


def test_the_listener_must_receive_the_object(make_listener):
    listener = make_listener(channel="/data/ContactChangeEvent")

    error = refused(listener)

    assert error.field == "listener"
    assert "receives Contact alone" in str(error)


def test_a_missing_table_is_refused_with_what_to_do(listener, monkeypatch):
    from tests.mirror.crm.models import Account

    monkeypatch.setattr(Account._meta, "db_table", "crm_elsewhere")

    assert "manage.py makemigrations, then manage.py migrate" in str(refused(listener))


def test_an_org_that_does_not_answer_is_named(make_listener, transactional_db):
    listener = make_listener()

    with pytest.raises(Refused, match=r"manage\.py check_cdc_connection") as error:
        service.add("crm.Account", listener, by=ANN)

    assert error.value.field == "listener"
    assert not Mirror.objects.exists()


def test_the_org_is_asked_for_the_object(org_listener, broker, monkeypatch):
    from tests.mirror.crm.models import Account

    mirror = service.add("crm.Account", org_listener, by=ANN)
    service.remove(mirror, ANN)
    monkeypatch.setattr(Account, "salesforce_object", "Nothing__c")
    from mirror.schema.columns import columns_of

    columns_of.cache_clear()
    try:
        with pytest.raises(Refused, match="has no object Nothing__c"):
            service.add("crm.Account", org_listener, by=ANN)
    finally:
        columns_of.cache_clear()


def test_a_removed_mirror_takes_its_mappings_along_and_no_other(listener):
    own = make_mapping(listener, "update", entity="Account")

    service.remove(add(listener), ANN)

    assert list(HandlerMapping.objects.all()) == [own]
    assert not Mirror.objects.exists()
    assert not MirrorRun.objects.exists()


def test_a_mirror_that_handlers_follow_is_not_removed(listener):
    mirror = add(listener)
    make_mapping(listener, "update", "tests.remember", entity="Account", after="mirror")

    with pytest.raises(Refused, match=r"onUpdate Account: tests\.remember"):
        service.remove(mirror, ANN)

    assert Mirror.objects.exists()


def test_a_run_in_progress_is_not_requested_twice(listener):
    mirror = add(listener)

    first = service.request_run(mirror, "verify", {"depth": "full"}, ANN)
    again = service.request_run(mirror, "verify", {}, ANN)

    assert first == again
    assert again.options == {"depth": "full"}
    assert service.cancel_run(first, ANN)
    assert not service.cancel_run(first, ANN)
    assert service.request_run(mirror, "verify", {}, ANN) != first


def test_a_repair_that_waits_still_accepts_deletions_when_another_is_requested(listener):
    mirror = add(listener)
    service.request_run(mirror, "repair", {"accept_deletions": True}, ANN)

    again = service.request_run(mirror, "repair", {"accept_deletions": False}, ANN)

    assert again.options == {"accept_deletions": True}


def test_only_what_differs_is_changed(listener):
    mirror = add(listener)

    assert service.change(mirror, ANN, deletes="hard", verify="daily") == ["deletes"]
    with pytest.raises(Refused, match="use one of"):
        service.change(mirror, ANN, verify="often")

    mirror.refresh_from_db()
    assert (mirror.deletes, mirror.verify) == ("hard", "daily")
